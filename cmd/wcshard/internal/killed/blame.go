// Package killed finds out what the kernel killed for lack of memory, and by
// whose doing: a victim is a test that died, a culprit one that had taken the
// memory.
package killed

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/dustin/go-humanize"

	"github.com/wcshard/wcshard/timing"
)

// Unknown is a counter that cannot be read.
const Unknown = -1

// Counts is how many processes the kernel killed for lack of memory while a
// session ran.
type Counts struct {
	Own     int64 // in the session's cgroup, or Unknown
	Machine int64 // on the whole machine, or Unknown
}

// Sureness says how well it is known that the kernel killed for lack of memory.
type Sureness int

// From what is out of the question to what is certain.
const (
	No      Sureness = iota // the kernel counted no kill, or another signal ended it
	Perhaps                 // nothing counts kills here; it was SIGKILL, and memory was short
	Likely                  // the kernel killed something on this machine, or less than died
	Certain                 // the kernel counted it
)

// Sure judges the death of a worker by a signal (0 where unknown), of so many
// that died by SIGKILL in the session; short says that memory was nearly all in
// use when it was last looked at.
func (c Counts) Sure(signal, deaths int, short bool) Sureness {
	const sigkill = 9
	switch {
	case signal != 0 && signal != sigkill:
		return No
	case c.Own >= int64(deaths):
		return Certain
	case c.Own > 0:
		return Likely
	case c.Own == 0:
		return No
	case c.Machine > 0:
		return Likely
	case c.Machine == 0 || signal == 0 || !short:
		return No
	}
	return Perhaps
}

func (s Sureness) reason(c Counts) string {
	switch {
	case s == Certain:
		return "certain: the kernel counted " + kills(c.Own) + " in this cgroup"
	case s == Likely && c.Own > 0:
		return "likely: the kernel counted only " + kills(c.Own) + " in this cgroup"
	case s == Likely:
		return "likely: the kernel counted " + kills(c.Machine) + " on this machine"
	}
	return "perhaps: nothing counts kills here, but it was SIGKILL and memory was short"
}

func kills(n int64) string {
	if n == 1 {
		return "1 kill"
	}
	return fmt.Sprintf("%d kills", n)
}

// Scene is what is known of the moment of a kill.
type Scene struct {
	Death timing.Death // Worker is "" where pytest itself died
	Held  map[int]Held // what each worker held just before, by process ID, and under 0 what the others of the session did; nil where nobody looked
	Limit int64        // bytes that the kernel lets all hold together, other programs than the session's too; 0 where unknown
	Room  int64        // bytes that the session could have; 0 where unknown
	Sure  Sureness
	Count Counts
}

// A Holding is a test that was running, and what its worker held with all of
// its children, in bytes: 0 where nobody saw it.
type Holding struct {
	timing.TestStart
	Held int64 // as far as it can be told
	Seen int64 // of it, what was surely its own
}

// Blame says what was killed and by whose doing.
type Blame struct {
	Worker  string    // that died; "" for pytest itself
	Victims []Holding // tests that died
	Culprit Holding   // the test that had taken most; zero where no test ran
	All     []Holding // tests that were running, victims first
	Leak    int64     // what the culprit's worker held before it: earlier tests' leavings, where they are more than the culprit's own
	scene   Scene
}

// Judge finds the culprit: of the tests that ran, the one whose worker had
// grown most since it started.
//
// The kernel kills whoever holds most, which is nearly always who took it. It
// is not where a worker is fat from earlier tests and another one grows. What a
// worker holds is what was last seen of it; of the one that died it is at least
// what the others leave of the session's room, since a test may take a gigabyte between
// two looks.
func Judge(s Scene) Blame {
	b := Blame{Worker: s.Death.Worker, scene: s}
	for _, start := range s.Death.Running {
		held := start.Peak + start.Children
		seen := held
		if start.PID != 0 {
			held = cmp.Or(s.Held[start.PID].All, held)
			seen = max(seen, s.Held[start.PID].Own)
		}
		b.All = append(b.All, Holding{start, max(held, start.Before), seen})
	}
	dead := func(r Holding) bool { return b.Worker == "" || r.Worker == b.Worker }
	slices.SortStableFunc(b.All, func(a, c Holding) int {
		switch {
		case dead(a) == dead(c):
			return 0
		case dead(a):
			return -1
		}
		return 1
	})
	b.estimate(dead)
	for i, r := range b.All {
		if dead(r) {
			b.Victims = append(b.Victims, r)
		}
		if i == 0 || grown(r) > grown(b.Culprit) {
			b.Culprit = r
		}
	}
	if c := b.Culprit; c.Before > grown(c) && c.Before > 0 {
		b.Leak = c.Before
	}
	return b
}

// estimate raises what the dead worker held to what all the others leave of the
// session's room. Where pytest ran the tests itself, nobody else of the session can
// have taken that.
func (b *Blame) estimate(dead func(Holding) bool) {
	if len(b.All) == 0 || b.scene.Room == 0 || !dead(b.All[0]) || b.scene.Sure < Certain {
		return
	}
	alone := len(b.All) == 1 && b.All[0].PID != 0 && b.All[0].PID == b.scene.Death.PID && b.scene.Held != nil
	if b.Worker == "" && !alone {
		return
	}
	left := b.scene.Room
	if b.scene.Held != nil {
		for pid, held := range b.scene.Held {
			if pid != b.All[0].PID {
				left -= held.All
			}
		}
	} else {
		for _, r := range b.All[1:] {
			left -= r.Held
		}
	}
	b.All[0].Held = max(b.All[0].Held, left)
	if b.Worker == "" {
		b.All[0].Seen = max(b.All[0].Seen, left)
	}
}

func grown(r Holding) int64 { return max(0, r.Held-r.Before) }

// Killed are the killed tries as lines of the results, the victims' and, where
// it lives, not the culprit's.
func (b Blame) Killed() []timing.KilledTest {
	var all []timing.KilledTest
	for _, v := range b.Victims {
		all = append(all, timing.KilledTest{
			ID: v.ID, Worker: v.Worker, Before: v.Before, Held: v.Seen,
			Culprit: v.ID == b.Culprit.ID && v.Worker == b.Culprit.Worker,
		})
	}
	return all
}

// String tells it in one line.
func (b Blame) String() string {
	who := "worker " + b.Worker
	if b.Worker == "" {
		who = "pytest"
	}
	var text strings.Builder
	fmt.Fprintf(&text, "killed for lack of memory: %s", who)
	if len(b.Victims) == 0 {
		text.WriteString(" between two tests")
	}
	of := ""
	if b.scene.Limit > 0 {
		of = " of " + size(b.scene.Limit)
	}
	for i, r := range b.All {
		switch {
		case i == 0 && len(b.Victims) > 0 && r.Held <= 0:
			fmt.Fprintf(&text, " while running %s (%s)", r.ID, size(0))
		case i == 0 && len(b.Victims) > 0:
			fmt.Fprintf(&text, " while running %s (%s%s)", r.ID, size(r.Held), of)
		default:
			fmt.Fprintf(&text, "; %s was running %s (%s)", r.Worker, r.ID, size(r.Held))
		}
	}
	if c := b.Culprit; c.ID != "" && len(b.All) > 1 {
		fmt.Fprintf(&text, "; most was taken by %s (%s)", c.ID, size(grown(c)))
	}
	if b.Leak > 0 {
		fmt.Fprintf(&text, "; %s held %s before that test", b.Culprit.Worker, size(b.Leak))
	}
	fmt.Fprintf(&text, " [%s]", b.scene.Sure.reason(b.scene.Count))
	return text.String()
}

func size(n int64) string {
	if n <= 0 {
		return "memory unknown"
	}
	return humanize.IBytes(uint64(n))
}
