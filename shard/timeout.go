package shard

import "time"

// A shard's timeout is TimeoutFactor times its expected wall time and
// TimeoutMargin (checkout, installation, a slow runner) or, where that is more,
// TimeoutFactor times the overhead of a job; at least TimeoutFloor, TimeoutNew where it
// has a test that was never measured, which may take minutes and would be stopped again
// in each try, and from there up to TimeoutUnknown to the degree that nothing is known: a
// test whose estimate is a guess counts whole, one that rests on relatives half.
const (
	TimeoutFactor  = 2
	TimeoutMargin  = 5 * time.Minute
	TimeoutFloor   = 10 * time.Minute
	TimeoutNew     = 30 * time.Minute
	TimeoutUnknown = 60 * time.Minute
)

// timeout returns whole minutes, rounded up.
func timeout(wall, overhead time.Duration, b Basis) int {
	floor := TimeoutFloor
	if halves := 2*b.Guessed + b.Relatives; halves > 0 {
		all := 2 * (b.Measured + b.Relatives + b.Guessed)
		floor = TimeoutNew + (TimeoutUnknown-TimeoutNew)*time.Duration(halves)/time.Duration(all)
	}
	limit := max(floor, TimeoutFactor*wall+max(TimeoutMargin, TimeoutFactor*overhead))
	return int((limit + time.Minute - 1) / time.Minute)
}
