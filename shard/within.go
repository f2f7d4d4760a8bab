package shard

import "slices"

// A worker is one in a schedule that keeps within a job's memory.
type worker struct {
	free   int64 // when it is done with its test
	unit   int   // what it works at, -1: nothing
	next   int   // test of the unit
	soon   int   // unit that it works at then, -1: not known
	looked int   // schedule.freed when it last looked at the units that wait
	kept   int64 // what the tests so far left
	use    int64 // what it holds over its floor
	after  int64 // and will, once its test is done
	parked bool  // nothing that it may do fits
}

// A unit is what one worker does from beginning to end.
type unit struct {
	tests  []int32
	pieces []int32 // by test
}

// within is run for a job whose tests cannot all meet: a test starts only when
// it fits beside what is running and what was left behind. Where nothing fits
// though nothing runs, the workers are started afresh, which costs once more what
// they take before their first test. The wall is never where a test does not fit at
// all.
func (r *simulator) within(pieces []draftPiece, c crew) outlook {
	if r.work <= 0 {
		return r.roughly(pieces, c)
	}
	r.forget(c.workers)
	s := schedule{simulator: r, crew: c, units: r.unitsOf(pieces), hands: make([]worker, c.workers), outlook: outlook{last: -1}}
	s.begin(!r.needy(pieces))
	for s.step() {
		if r.work <= 0 {
			return r.roughly(pieces, c)
		}
	}
	return s.outlook
}

// roughly is within without a schedule: as long as the workers take, or as long
// as the memory takes when it is always full.
func (r *simulator) roughly(pieces []draftPiece, c crew) outlook {
	out := r.plain(pieces, c.workers)
	full := float64(0)
	for i := range pieces {
		for _, p := range pieces[i].tests {
			use, _ := r.demand(p, 0)
			if use > c.limit {
				out.wall = never
				return out
			}
			full += float64(float64(r.cost[p]) * float64(use))
		}
	}
	out.peak = c.limit
	if c.limit > 0 {
		out.wall = max(out.wall, int64(full/float64(c.limit)))
	}
	return out
}

// unitsOf lists what one worker does in one go, in running order.
func (r *simulator) unitsOf(pieces []draftPiece) []unit {
	var units []unit
	index := map[int32]int{}
	for i := range pieces {
		for j, p := range pieces[i].tests {
			u := r.unit(&pieces[i], j)
			k, ok := index[u]
			if !ok {
				k = len(units)
				index[u] = k
				units = append(units, unit{})
			}
			units[k].tests = append(units[k].tests, p)
			units[k].pieces = append(units[k].pieces, int32(i))
		}
	}
	return units
}

// A schedule is a simulation of a job under way.
type schedule struct {
	*simulator
	crew
	outlook
	units   []unit
	hands   []worker
	used    int64
	next    int   // first unit that nobody looked at
	waiting []int // units that did not fit, in order
	freed   int   // how often memory was freed
	vain    int   // freed when somebody looked at the units that wait for nothing
	held    int64 // and kept most of those who did
}

// lookAhead is ahead for a worker that has come to the last test of its unit.
func (s *schedule) lookAhead(l *worker) {
	if l.next == len(s.units[l.unit].tests) {
		s.ahead(l)
	}
}

// begin gives each worker a unit, and then those that have one test a second one,
// as plain does.
func (s *schedule) begin(reverse bool) {
	var single []int
	for w := range s.hands {
		l := &s.hands[w]
		l.unit, l.soon = -1, -1
		u := s.take(l)
		if u < 0 {
			l.parked = true
			continue
		}
		l.unit = u
		if s.start(w, s.units[u].tests[0]); l.next == len(s.units[u].tests) {
			single = append(single, w)
		}
	}
	if reverse {
		slices.Reverse(single)
	}
	for _, w := range single {
		s.ahead(&s.hands[w])
	}
}

// ahead lets a worker that has come to the last test of its unit take the next
// one. Where units wait for memory, which of them comes next is seen when the
// test is done.
func (s *schedule) ahead(l *worker) {
	if s.next == len(s.units) || len(s.waiting) > 0 {
		return
	}
	kept := l.kept
	l.kept = l.after
	if s.fits(l, s.units[s.next].tests[0]) {
		l.soon = s.next
		s.next++
	}
	l.kept = kept
}

// step lets the worker that is free first take its next test; it returns false
// at the end.
func (s *schedule) step() bool {
	s.work -= len(s.hands)
	w := -1
	for k := range s.hands {
		if l := &s.hands[k]; !l.parked && (w < 0 || l.free <= s.hands[w].free) {
			w = k
		}
	}
	if w < 0 {
		return s.restart()
	}
	l := &s.hands[w]
	s.end(l)
	if l.unit >= 0 && l.next == len(s.units[l.unit].tests) {
		l.unit, l.soon, l.next = l.soon, -1, 0
	}
	if l.unit >= 0 {
		if p := s.units[l.unit].tests[l.next]; s.fits(l, p) {
			s.start(w, p)
			s.lookAhead(l)
		} else {
			l.parked = true
		}
		return true
	}
	if u := s.take(l); u >= 0 {
		l.unit, l.next = u, 0
		s.start(w, s.units[u].tests[0])
		s.lookAhead(l)
	} else {
		l.parked = true
	}
	return true
}

// end gives back what a worker's last test no longer uses, and wakes the others.
func (s *schedule) end(l *worker) {
	if l.use == l.after {
		l.kept = l.after
		return
	}
	s.used -= l.use - l.after
	l.use, l.kept = l.after, l.after
	s.freed++
	for k := range s.hands {
		if o := &s.hands[k]; o.parked {
			o.parked = false
			o.free = max(o.free, l.free)
		}
	}
}

func (s *schedule) fits(l *worker, p int32) bool {
	use, _ := s.demand(p, l.kept)
	return use == l.use || s.used-l.use+use <= s.limit
}

// take finds the first unit that fits.
func (s *schedule) take(l *worker) int {
	// Who holds less of what it kept itself finds no more than who holds more.
	if l.looked != s.freed && (s.vain != s.freed || l.kept > s.held) {
		s.work -= len(s.waiting)
		for i, u := range s.waiting {
			if s.fits(l, s.units[u].tests[0]) {
				s.waiting = slices.Delete(s.waiting, i, i+1)
				return u
			}
		}
		if s.vain != s.freed {
			s.held = 0
		}
		s.vain, s.held = s.freed, max(s.held, l.kept)
	}
	for s.next < len(s.units) {
		u := s.next
		s.next++
		if s.fits(l, s.units[u].tests[0]) {
			return u
		}
		s.waiting = append(s.waiting, u)
		s.held = min(s.held, l.kept)
	}
	l.looked = s.freed
	return -1
}

func (s *schedule) start(w int, p int32) {
	l := &s.hands[w]
	use, after := s.demand(p, l.kept)
	s.used += use - l.use
	l.use, l.after = use, after
	s.peak = max(s.peak, s.used)
	l.free += s.alone(w, p)
	if l.free > s.wall {
		s.wall, s.last = l.free, int(s.units[l.unit].pieces[l.next])
	}
	l.next++
}

// restart starts the workers afresh, when all of them wait though none of them
// works. It returns false when nothing is left to do, or would fit even then.
func (s *schedule) restart() bool {
	now, left, held := int64(0), len(s.waiting) > 0, int64(0)
	for k := range s.hands {
		l := &s.hands[k]
		now, held = max(now, l.free), held+l.kept
		left = left || l.unit >= 0
	}
	if !left {
		return false
	}
	if held == 0 {
		s.wall = never
		return false
	}
	for k := range s.hands {
		l := &s.hands[k]
		*l = worker{free: now + s.paid, unit: l.unit, next: l.next, soon: l.soon}
	}
	s.used = 0
	s.freed++
	s.forget(len(s.hands))
	return true
}
