package timing

import (
	"cmp"
	"slices"
)

// need judges the samples of test number i of the history by what they say of
// its memory.
//
// Every sample bounds the need in its run from both sides: memory rose by so
// much during the test, and was never further than so much above the worker's
// floor. The first is too little where the test found memory that earlier ones
// had left, the second too much where those still held theirs. A worker whose
// first test it was says it exactly.
//
// The need itself differs from run to run, so Low is the highest rise of all that
// were done: a run in which the test needed less takes nothing away from what it once
// needed. High is the lowest upper bound that no rise contradicts; a bound
// below a rise tells of a run that needed less. Both tighten with every run
// that has the test in another place. Which samples are there decides, not
// their order, so it is the same however histories were merged.
//
// A crash is a lower bound of High only: what a test held that ran away, it does not
// need once it is mended, and with no plan there would be no run to tell. Where it is
// above all else, the plan counts on twice as much, since the test was not done when it
// died.
func (e *Estimator) need(i int) Need {
	own := e.preferred(e.h.series[testKind][i].samples)
	if newest := own[:min(3, len(own))]; !slices.ContainsFunc(newest, func(s sample) bool { return outcomes[s.outcome] != Skipped }) {
		own = newest // skipped for good
	}
	var n Need
	for k := range own {
		if outcomes[own[k].outcome] == Crashed {
			n.Died = max(n.Died, own[k].rise)
		} else {
			n.Low = max(n.Low, own[k].rise)
		}
	}
	least := max(n.Low, n.Died)
	for _, of := range [...][]Outcome{good[:], bad[:], {Skipped}} {
		if n.High == 0 {
			high, kept := e.upper(own, of, least)
			n.High, n.Kept = high, max(n.Kept, kept)
		}
	}
	if n.High == 0 {
		n.High = 2 * least
	}
	n.Kept = min(n.Kept, n.High)
	return n
}

// upper returns the lowest upper bound at or above low in the samples with one
// of the outcomes, and the most that any of them left behind; 0 where there is
// none.
func (e *Estimator) upper(samples []sample, of []Outcome, low int64) (high, kept int64) {
	for k := range samples {
		s := &samples[k]
		if s.peak == 0 || !slices.Contains(of, outcomes[s.outcome]) {
			continue
		}
		kept = max(kept, s.kept)
		floor := s.floor
		if floor == 0 {
			floor = e.Floor()
		}
		// A worker may give back some of its floor before the test, so a rise
		// may exceed the bound of its own run by a little.
		bound := max(0, s.peak-floor)
		if alike := (Need{Low: bound, High: low}); bound < low && alike.Certain() {
			bound = low
		}
		if bound >= low && (high == 0 || bound < high) {
			high = max(bound, 1) // known to be next to nothing
		}
	}
	return high, kept
}

// Floor returns the resident memory of a worker after its imports, in bytes:
// the highest seen, as jobs import different files. It is 0 where unknown.
func (e *Estimator) Floor() int64 {
	if e.floor == notYet {
		e.floor = 0
		for _, s := range e.h.series[sessionKind] {
			for _, sample := range e.recent(s.samples) {
				e.floor = max(e.floor, sample.floor)
			}
		}
		if e.floor == 0 { // results without workers: what the first test found
			for _, s := range e.h.series[testKind] {
				e.floor = max(e.floor, s.samples[0].floor)
			}
		}
	}
	return e.floor
}

// Controller returns the resident memory of xdist's controller, in bytes: it
// loads plugins and conftest like a worker, so it is a worker's floor where it
// was never measured.
func (e *Estimator) Controller() int64 {
	most := int64(0)
	for _, s := range e.h.series[sessionKind] {
		for _, sample := range e.recent(s.samples) {
			most = max(most, sample.peak)
		}
	}
	return cmp.Or(most, e.Floor())
}

// standIn returns what relatives say of a test that was never measured: the
// most that any of them needs, where they are the same function; the middle
// one's need where they only share a class or file. What is certain of some
// counts, since what is not may be inherited. Nothing is certain of the test.
func standIn(rung Rung, needs []Need) Need {
	var n Need
	certain := slices.ContainsFunc(needs, Need.Certain)
	var highs, kept []int64
	for _, m := range needs {
		if m.High > 0 && m.Certain() == certain {
			highs, kept = append(highs, m.High), append(kept, m.Kept)
		}
	}
	if len(highs) == 0 {
		return n
	}
	switch rung {
	case Sibling, Moved:
		n.High, n.Kept = slices.Max(highs), slices.Max(kept)
	case Class, File:
		n.High, n.Kept = median(highs), median(kept)
	}
	return n
}
