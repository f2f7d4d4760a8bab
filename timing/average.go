package timing

import (
	"cmp"
	"math"
	"slices"
)

// median returns the middle of the values, of an even number of them the smaller of the
// two in the middle, since noise only ever adds; 0 of none. It sorts the values.
func median[T cmp.Ordered](values []T) T {
	var zero T
	if len(values) == 0 {
		return zero
	}
	slices.Sort(values)
	return values[(len(values)-1)/2]
}

// mean is in floating point, where no sum overflows.
func mean(values []int64) int64 {
	sum := 0.0
	for _, v := range values {
		sum += float64(v)
	}
	return int64(math.Round(sum / float64(len(values))))
}

// typical returns the mean of the values after each of the lowest and highest
// quarter has been replaced by its nearest neighbour that is in neither: the
// winsorized mean (Tukey, "The future of data analysis", 1962, section 14).
// What is still more than twice the median is taken for that, since noise only
// ever adds. Of three values it is the median. It is nearly as indifferent to
// outliers as that, and what it says of tests adds up to what their job takes;
// 0 of none. It sorts the values.
func typical(values []int64) int64 {
	middle := median(values)
	n := len(values)
	if n == 0 {
		return 0
	}
	ends := (n + 1) / 4
	sum := 0.0
	for i := range n {
		v := values[min(max(i, ends), n-1-ends)]
		if v > 2*middle {
			v = middle
		}
		sum += float64(v)
	}
	return int64(math.Round(sum / float64(n)))
}
