package pytest

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// TestSamplesApart: on Windows samples come after pytest's own lines, and never
// into the middle of one.
func TestSamplesApart(t *testing.T) {
	for _, test := range []struct {
		before string
		apart  bool
		during bool // the samples come while pytest runs
		after  bool
	}{
		{"one\n", false, true, true},
		{"one\n", true, false, true},
		{"one\nto", true, false, false},
	} {
		dir := t.TempDir()
		results := filepath.Join(dir, "results")
		write := func(name, text string) {
			if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		write("results", test.before)
		write(pidPrefix+"main", strconv.Itoa(os.Getpid()))
		sampled := func() bool {
			text, err := os.ReadFile(results)
			if err != nil || !strings.HasPrefix(string(text), test.before) {
				t.Fatalf("the results are %q, %v", text, err)
			}
			return strings.Contains(string(text), `{"t":"mem",`)
		}
		stop := sampling(dir, results, test.apart)
		time.Sleep(2*slowest + 5*calmEvery)
		during := sampled()
		stop()
		if after := sampled(); during != test.during || after != test.after {
			t.Errorf("%q, apart %v: samples while pytest runs %v, then %v", test.before, test.apart, during, after)
		}
	}
}

// However costly samples are, they come every sampleEvery while there is
// credit, and all together cost no more than the credit at first, what was
// earned, and one sample.
func TestSampleCredit(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := sampleCost
		start := time.Now()
		now, spent, largest := start, time.Duration(0), time.Duration(0)
		for range rapid.IntRange(1, 300).Draw(t, "samples") {
			took := time.Duration(rapid.IntRange(0, 5_000_000).Draw(t, "ns"))
			c.earn(now)
			had := c.left
			c.spend(took)
			spent, largest = spent+took, max(largest, took)
			if most := sampleCost.left + now.Sub(start)/c.every + largest; spent > most {
				t.Fatalf("%v spent in %v, want at most %v", spent, now.Sub(start), most)
			}
			if had > took && c.wait() > 0 {
				t.Fatalf("waits %v with a credit of %v for %v", c.wait(), had, took)
			}
			now = now.Add(max(sampleEvery, c.wait()))
		}
	})
}
