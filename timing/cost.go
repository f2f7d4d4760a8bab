package timing

import (
	"fmt"
	"strings"
	"time"
)

// Outcome is how one test ended, in pytest's words.
type Outcome string

// The outcomes, as they stand in results files and histories. Crashed means
// that the worker died while it ran the test.
const (
	Passed Outcome = "passed"
	// PassedAlone is Passed of a test that ran again, alone, after it had been
	// killed for lack of memory. Only a reader says so: what runs is a pass.
	PassedAlone Outcome = "passed after running alone"
	Failed      Outcome = "failed"  // the call phase failed, or a subtest did
	Error       Outcome = "error"   // set-up or teardown failed
	Skipped     Outcome = "skipped" // also by a skip inside the test
	XFailed     Outcome = "xfailed"
	XPassed     Outcome = "xpassed"
	Crashed     Outcome = "crashed"
)

// Outcomes lists all outcomes, best first.
func Outcomes() []Outcome {
	return []Outcome{Passed, PassedAlone, Skipped, XFailed, XPassed, Failed, Error, Crashed}
}

// Bad reports whether the outcome makes a run fail.
func (o Outcome) Bad() bool {
	return o == Failed || o == Error || o == Crashed
}

// Rung says what an estimate rests on, from the firmest to the weakest.
type Rung int

// The rungs. Everything between Measured and Guess is a relative: another test
// whose measured cost stands in.
const (
	Measured Rung = iota // samples of this very test
	Sibling              // other parameters of the same function
	Moved                // the same class and function, of another file that has it no more
	Class                // other tests of the same class
	File                 // other tests of the same file
	Suite                // the mean test of the nearest folder, or of the whole history
	Guess                // no history at all
)

var rungNames = [...]string{"measured", "sibling", "moved", "class", "file", "suite", "guess"}

func (r Rung) String() string {
	if r < 0 || int(r) >= len(rungNames) {
		return fmt.Sprintf("Rung(%d)", int(r))
	}
	return rungNames[r]
}

// Estimate is the expected cost of one test on one worker.
type Estimate struct {
	Wall time.Duration // own set-up, call, teardown and pytest's protocol, without shared set-up; whole microseconds
	Peak int64         // peak resident memory of its worker, in bytes; 0 where unknown
	Rung Rung
	Need Need
}

// Need is what a test needs of memory over the floor of its worker, which is
// what the worker holds after its imports: Low ≤ need ≤ High, in bytes.
//
// A test's peak is not its need, since a process keeps what earlier tests left
// in it, and neither is how far memory rose during the test, since the
// allocator gives out again what they left. The zero Need is unknown.
type Need struct {
	Low, High int64
	Kept      int64 // what it leaves behind on its worker, which all tests after it find held
	Died      int64 // what it had taken when it died of that, at most; High is no less, though the test may need less once it is mended
}

// Lower returns the need with an upper bound of most, but not below what is known.
func (n Need) Lower(most int64) Need {
	n.High = min(n.High, max(n.Low, n.Died, most))
	n.Kept = min(n.Kept, n.High)
	return n
}

// Certain reports whether the bounds are so near to each other that a better
// one would change no plan: a tenth or 64 MiB apart.
func (n Need) Certain() bool {
	return n.High > 0 && n.High-n.Low <= max(64<<20, n.High/10)
}

// SyntaxError is bad input at a place: File:Line: Msg. Line counts from 1; 0
// means the whole file.
type SyntaxError struct {
	File string
	Line int
	Msg  string
}

// Newer reports whether the file is of a later version of its format, and may
// be well.
func (e *SyntaxError) Newer() bool { return IsNewer(e.Msg) }

// IsNewer is SyntaxError.Newer for the message alone.
func IsNewer(msg string) bool { return strings.HasPrefix(msg, newer) }

const newer = "written by a newer wcshard"

// NewerVersion is the message of a SyntaxError about a file of a version that
// is later than the newest one that can be read.
func NewerVersion(version, newest int64) string {
	return fmt.Sprintf(newer+" (version %d, this one reads %d)", version, newest)
}

// Error names the place first.
func (e *SyntaxError) Error() string {
	if e.Line == 0 {
		return fmt.Sprintf("%s: %s", e.File, e.Msg)
	}
	return fmt.Sprintf("%s:%d: %s", e.File, e.Line, e.Msg)
}
