package shard

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/wcshard/wcshard/timing"
)

// valid finds what no plan that Pack makes has, and no reader would accept.
func (p *Plan) valid() error {
	if len(p.Shards) == 0 {
		return errors.New("it has no shards")
	}
	if len(p.Shards) > MaxRows {
		return fmt.Errorf("it has %d shards, want at most %d", len(p.Shards), MaxRows)
	}
	if p.Makespan < 0 || p.Bound < 0 || p.Makespan%time.Microsecond != 0 || p.Bound%time.Microsecond != 0 {
		return fmt.Errorf("makespan %v or bound %v: want whole microseconds, at least 0", p.Makespan, p.Bound)
	}
	if err := p.Fleet.inRange(); err != nil {
		return err
	}
	if err := p.Error.inRange(); err != nil {
		return err
	}
	texts := []string{p.Collector.Pytest, p.Collector.Python, p.Collector.Xdist, p.Collector.Root, p.Collector.Folder, p.Collector.Order, p.Fleet.Runner, p.Fleet.MemoryRunner}
	texts = append(texts, slices.Concat(p.Collector.Args, p.Collector.Conftests, p.Collector.Places, p.Collector.LastPlaces)...)
	for _, x := range p.Collector.Parameters {
		texts = append(texts, x.ID, x.Order, x.Values)
	}
	for _, s := range texts {
		if !utf8.ValidString(s) {
			return fmt.Errorf("%q is not UTF-8", s)
		}
	}
	for _, s := range p.Setups {
		if s.Cost < 0 || s.Cost > maxTotal || s.Cost%time.Microsecond != 0 || !utf8.ValidString(string(s.ID)) {
			return fmt.Errorf("set-up %q takes %v: want UTF-8, and whole microseconds, 0 to %v", s.ID, s.Cost, maxTotal)
		}
	}
	c := newPlanChecker()
	c.setups = len(p.Setups)
	for i := range p.Shards {
		s := &p.Shards[i]
		if err := c.shard(s); err != nil {
			return err
		}
		for k := range s.Pieces {
			if err := c.piece(s, &s.Pieces[k]); err != nil {
				return err
			}
		}
		if err := c.end(s); err != nil {
			return err
		}
	}
	_, _, err := c.apart(p)
	return err
}

// inRange finds errors that no predictions have.
func (e Error) inRange() error {
	const most = 1_000_000 // a thousand times as long
	if min(e.Jobs, e.Median) < 0 || e.Ninth < e.Median || max(e.Jobs, e.Ninth) > most || e.Jobs == 0 && e != (Error{}) {
		return fmt.Errorf("predictions that were off by %+v: want 0 to %d of everything, the median first", e, most)
	}
	return nil
}

// inRange finds numbers that no fleet has.
func (f Fleet) inRange() error {
	if min(f.Memory, f.MemoryRunnerMemory, f.Reserve) < 0 || max(f.Memory, f.MemoryRunnerMemory, f.Reserve) > maxBytes || !(0 <= f.MemoryShare && f.MemoryShare <= 1) {
		return fmt.Errorf("a fleet of %+v: want 0 to %d bytes, and a share of 0 to 1", f, int64(maxBytes))
	}
	if f.MemoryJobs < AutoMemoryJobs || f.MemoryJobs > MaxRows {
		return fmt.Errorf("a fleet of %+v: want %d to %d jobs of a memory module", f, AutoMemoryJobs, MaxRows)
	}
	if max(f.Shards, f.MaxMemoryJobs) > MaxJobs {
		return fmt.Errorf("%d pool jobs and at most %d memory jobs: want at most %d of each", f.Shards, f.MaxMemoryJobs, MaxJobs)
	}
	if min(f.Shards, f.Workers, f.MemoryWorkers, f.MaxMemoryJobs, f.CPUs) < 0 || max(f.Workers, f.MemoryWorkers, f.CPUs) > maxWorkers {
		return fmt.Errorf("a fleet of %+v: want at least 0 of everything, and at most %d workers", f, maxWorkers)
	}
	return nil
}

// MaxJobs bounds the jobs of each kind that a fleet may ask for, so that their workers
// can be counted. A plan never has so many.
const MaxJobs = 100_000

// maxBytes bounds the memory of a runner and of a test, so that no sum of it
// overflows.
const maxBytes = 1 << 50

// maxTimeout is above what Pack can come to, in minutes.
const maxTimeout = 1 << 30

// A planChecker holds what one shard of a plan may not have in common with
// another one.
type planChecker struct {
	names map[string]bool   // in lower case
	files map[string]string // file → the last shard with some of it
	cut   map[string]bool   // files in several shards

	setups int // of the plan
}

func newPlanChecker() *planChecker {
	return &planChecker{names: map[string]bool{}, files: map[string]string{}, cut: map[string]bool{}}
}

func (c *planChecker) shard(s *Shard) error {
	switch {
	case s.Name == "" || len(s.Name) > maxName || clean(s.Name) != s.Name || strings.Trim(s.Name, ".") == "":
		return fmt.Errorf("shard name %q: want 1 to %d of A-Z, a-z, 0-9, '.', '_', '-'", s.Name, maxName)
	case c.names[strings.ToLower(s.Name)]:
		return fmt.Errorf("two shards are named %q", s.Name)
	case s.Kind != Pool && s.Kind != Memory:
		return fmt.Errorf("shard %s is of kind %q, want %q or %q", s.Name, s.Kind, Pool, Memory)
	case s.Workers < 1 || s.Workers > maxWorkers:
		return fmt.Errorf("shard %s has %d workers, want 1 to %d", s.Name, s.Workers, maxWorkers)
	case s.Wall < 0 || s.Wall%time.Microsecond != 0 || s.Peak < 0:
		return fmt.Errorf("shard %s takes %v and %d bytes: want whole microseconds, at least 0", s.Name, s.Wall, s.Peak)
	case s.Floor < 0 || s.Floor > maxBytes || s.Budget < 0 || s.Budget > maxBytes:
		return fmt.Errorf("shard %s has a floor of %d and a budget of %d bytes: want 0 to %d", s.Name, s.Floor, s.Budget, int64(maxBytes))
	case s.Why != Marked && s.Why != MeasuredNeed && s.Why != MarkedAndMeasured, s.Why != Marked && s.Kind != Memory:
		return fmt.Errorf("shard %s of kind %s is one for it was %q", s.Name, s.Kind, s.Why)
	case s.Timeout < 1 || s.Timeout > maxTimeout:
		return fmt.Errorf("shard %s has a timeout of %d minutes, want 1 to %d", s.Name, s.Timeout, maxTimeout)
	case s.Basis.Measured < 0 || s.Basis.Relatives < 0 || s.Basis.Guessed < 0:
		return fmt.Errorf("shard %s counts less than no tests", s.Name)
	case !utf8.ValidString(s.Runner):
		return fmt.Errorf("shard %s: runner %q is not UTF-8", s.Name, s.Runner)
	}
	c.names[strings.ToLower(s.Name)] = true
	return nil
}

func (c *planChecker) piece(s *Shard, p *Piece) error {
	switch {
	case strings.Contains(p.File, "::") || !utf8.ValidString(p.File):
		return fmt.Errorf("shard %s: file %q has \"::\" or is not UTF-8", s.Name, p.File)
	case c.files[p.File] == s.Name:
		return fmt.Errorf("shard %s has two pieces of %q", s.Name, p.File)
	case len(p.Tests) == 0:
		return fmt.Errorf("shard %s has no tests of %q", s.Name, p.File)
	}
	if c.files[p.File] != "" {
		c.cut[p.File] = true
	}
	c.files[p.File] = s.Name
	for _, t := range p.Tests {
		// Else the ID's file is another one: "a:" and "::b" are ":b" of "a".
		fits := t == "" && p.File != "" || strings.HasPrefix(t, "::") && !strings.HasSuffix(p.File, ":")
		if !fits || !utf8.ValidString(t) {
			return fmt.Errorf("shard %s: test %q of %q does not start with \"::\", is of another file or is not UTF-8", s.Name, t, p.File)
		}
	}
	if err := c.units(s, p); err != nil {
		return err
	}
	if err := c.setUps(s, p); err != nil {
		return err
	}
	return c.needs(s, p)
}

// maxUnit bounds the numbers of units.
const maxUnit = 1 << 30

func (c *planChecker) units(s *Shard, p *Piece) error {
	left, some := len(p.Tests), false
	for i, u := range p.Units {
		if u.Unit < 0 || u.Unit > maxUnit || u.Tests < 1 || u.Tests > left || i > 0 && u.Unit == p.Units[i-1].Unit {
			return fmt.Errorf("shard %s: %d tests of %q in unit %d: want a unit of 0 to %d, another one than before, and as many tests as there are", s.Name, u.Tests, p.File, u.Unit, maxUnit)
		}
		left -= u.Tests
		some = some || u.Unit > 0
	}
	if p.Units != nil && (left > 0 || !some) {
		return fmt.Errorf("shard %s: the units of %q leave out %d tests, or are none", s.Name, p.File, left)
	}
	return nil
}

func (c *planChecker) setUps(s *Shard, p *Piece) error {
	left, some := len(p.Tests), false
	for i, run := range p.Setups {
		if run.Tests < 1 || run.Tests > left || i > 0 && slices.Equal(run.Setups, p.Setups[i-1].Setups) {
			return fmt.Errorf("shard %s: set-ups of %d tests of %q: want other ones than before, and of as many tests as there are", s.Name, run.Tests, p.File)
		}
		for k, n := range run.Setups {
			if n < 0 || n >= c.setups || k > 0 && n <= run.Setups[k-1] {
				return fmt.Errorf("shard %s: tests of %q need set-up %d: want 0 to %d, ascending", s.Name, p.File, n, c.setups-1)
			}
		}
		left -= run.Tests
		some = some || len(run.Setups) > 0
	}
	if p.Setups != nil && (left > 0 || !some) {
		return fmt.Errorf("shard %s: the set-ups of %q leave out %d tests, or are none", s.Name, p.File, left)
	}
	return nil
}

func (c *planChecker) needs(s *Shard, p *Piece) error {
	last := -1
	for _, n := range p.Needs {
		switch {
		case n.Test <= last || n.Test >= len(p.Tests):
			return fmt.Errorf("shard %s: the need of test %d of %q is out of order or one too many", s.Name, n.Test, p.File)
		case min(n.Need, n.Kept) < 0 || max(n.Need, n.Kept) > maxBytes || max(n.Need, n.Kept) < MinNeed:
			return fmt.Errorf("shard %s: test %d of %q needs %d and keeps %d bytes: want %d to %d of one of them", s.Name, n.Test, p.File, n.Need, n.Kept, MinNeed, int64(maxBytes))
		}
		if n.Low < 0 || n.Low > n.Need {
			return fmt.Errorf("shard %s: test %d of %q needs %d to %d bytes", s.Name, n.Test, p.File, n.Low, n.Need)
		}
		last = n.Test
	}
	return nil
}

func (c *planChecker) end(s *Shard) error {
	n := s.Len()
	if n == 0 {
		return fmt.Errorf("shard %s has no tests", s.Name)
	}
	b := s.Basis
	if max(b.Measured, b.Relatives, b.Guessed) > n || b.Measured+b.Relatives+b.Guessed != n {
		return fmt.Errorf("shard %s has %d tests, and estimates %+v", s.Name, n, b)
	}
	return nil
}

// apart checks that no test is in two shards, and says which piece of which shard has
// one that is. Only a file that is in several of them can have such tests.
func (c *planChecker) apart(p *Plan) (shard, piece int, err error) {
	in := map[timing.NodeID]string{}
	for i := range p.Shards {
		s := &p.Shards[i]
		for k, piece := range s.Pieces {
			if !c.cut[piece.File] {
				continue
			}
			for _, t := range piece.Tests {
				id := timing.NodeID(piece.File + t)
				if other := in[id]; other != "" && other != s.Name {
					return i, k, fmt.Errorf("%q is in shards %s and %s", id, other, s.Name)
				}
				in[id] = s.Name
			}
		}
	}
	return 0, 0, nil
}
