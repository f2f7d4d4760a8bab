package shard

import "time"

// A shard's timeout is TimeoutFactor times its expected wall time and
// TimeoutMargin (checkout, installation, a slow runner) or, where that is more,
// TimeoutFactor times the overhead of a job; at least TimeoutFloor, and at least
// TimeoutUnknown to the degree that nothing is known: a test
// whose estimate is a guess counts whole, one that rests on relatives half.
const (
	TimeoutFactor  = 2
	TimeoutMargin  = 5 * time.Minute
	TimeoutFloor   = 10 * time.Minute
	TimeoutUnknown = 60 * time.Minute
)

// timeout returns whole minutes, rounded up.
func timeout(wall, overhead time.Duration, b Basis) int {
	halves := time.Duration(2*b.Guessed + b.Relatives)
	tests := time.Duration(max(1, b.Measured+b.Relatives+b.Guessed))
	floor := TimeoutFloor + (TimeoutUnknown-TimeoutFloor)*halves/(2*tests)
	limit := max(floor, TimeoutFactor*wall+max(TimeoutMargin, TimeoutFactor*overhead))
	return int((limit + time.Minute - 1) / time.Minute)
}
