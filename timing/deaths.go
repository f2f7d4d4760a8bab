package timing

import (
	"bytes"
	"cmp"
	"maps"
	"slices"
	"strconv"
)

// Death is the end of a worker process before its time.
type Death struct {
	Worker  string
	PID     int         // 0 where unknown
	Signal  int         // that killed it; 0 where unknown, or where it ended by itself
	Running []TestStart // tests that ran when it died, its own among them, in the order they started
}

// KilledTest is a try of a test that was killed for lack of memory, itself or
// by another test's doing. It is no result: the test runs again, alone, and
// what that gives takes the place of the killed try.
type KilledTest struct {
	ID      NodeID
	Worker  string
	PID     int   // of that worker, as read; 0 where unknown
	Before  int64 // resident memory of its worker when it started, bytes; 0 where unknown
	Held    int64 // what its worker was seen to hold at last, bytes, 0 where nobody saw it: the test needs at least Held - Before
	Culprit bool  // it took the memory; a victim only died of that
}

// Line returns the killed try as a line of a results file, newline included:
//
//	{"t":"killed","id":"tests/a.py::test_big","worker":"gw1","before":…,"held":…,"culprit":true}
func (k KilledTest) Line() []byte {
	b := appendString([]byte(`{"t":"killed","id":`), string(k.ID))
	b = appendString(append(b, `,"worker":`...), k.Worker)
	b = strconv.AppendInt(append(b, `,"before":`...), k.Before, 10)
	b = strconv.AppendInt(append(b, `,"held":`...), k.Held, 10)
	if k.Culprit {
		b = append(b, `,"culprit":true`...)
	}
	return append(b, '}', '\n')
}

// NoteLine returns a line of a results file that tells the user something,
// newline included.
func NoteLine(text string) []byte {
	return append(appendString([]byte(`{"t":"note","text":`), text), '}', '\n')
}

// CrashLine returns a line of a results file for a test that has no result
// because its process was killed, newline included.
func CrashLine(id NodeID, worker, message string) []byte {
	b := appendString([]byte(`{"t":"test","id":`), string(id))
	b = appendString(append(b, `,"worker":`...), worker)
	b = appendString(append(b, `,"outcome":"crashed","message":`...), message)
	return append(b, '}', '\n')
}

var killedKeys = []string{"id", "worker", "before", "held", "culprit"}

func (p *resultsReader) killed() {
	d := &p.d
	var k KilledTest
	d.fields(killedKeys, 2, func(i int) {
		switch i {
		case 0:
			k.ID = NodeID(d.text())
		case 1:
			k.Worker = p.intern()
		case 2:
			k.Before = d.number()
		case 3:
			k.Held = d.number()
		case 4:
			k.Culprit = d.bool()
		}
	})
	if d.msg != "" {
		return
	}
	k.PID = p.pid(k.Worker)
	p.res.Killed = append(p.res.Killed, k)
	delete(p.open, openTest{k.ID, k.Worker})
	delete(p.dead, openTest{k.ID, k.Worker})
	p.again[k.ID]++
}

// takePlace makes a finished test that was killed before the one result of it:
// the killed try is no second run.
func (p *resultsReader) takePlace(t *TestResult) {
	if p.again[t.ID] == 0 {
		return
	}
	p.again[t.ID]--
	if i := slices.IndexFunc(p.res.Tests, func(old TestResult) bool { return old.ID == t.ID && old.Outcome == Crashed }); i >= 0 {
		p.drop(i)
	}
	if t.Outcome == Passed {
		t.Outcome = PassedAlone
	}
}

// bool reads true or false.
func (d *lineDecoder) bool() bool {
	d.space()
	for _, text := range []string{"true", "false"} {
		if bytes.HasPrefix(d.b[d.i:], []byte(text)) {
			d.i += len(text)
			return text == "true"
		}
	}
	d.failf("want true or false, got %s", d.here())
	return false
}

var downKeys = []string{"worker", "signal"}

// down reads that a worker is gone.
func (p *resultsReader) down() {
	d := &p.d
	var death Death
	d.fields(downKeys, 1, func(i int) {
		if i == 0 {
			death.Worker = p.intern()
		} else {
			death.Signal = int(d.number())
		}
	})
	if d.msg != "" {
		return
	}
	death.PID = p.pid(death.Worker)
	death.Running = p.running()
	p.res.Deaths = append(p.res.Deaths, death)
	for t, number := range p.open {
		if t.worker == death.Worker {
			p.dead[t] = number
			delete(p.open, t)
		}
	}
}

// running returns the tests that are running, in the order they started.
func (p *resultsReader) running() []TestStart {
	var all []TestStart
	for _, t := range slices.SortedFunc(maps.Keys(p.open), func(a, b openTest) int { return cmp.Compare(p.open[a], p.open[b]) }) {
		start := TestStart{ID: t.id, Worker: t.worker, PID: p.pid(t.worker), Before: p.levels[t.worker]}
		if w := p.memory[t.worker]; w != nil && w.test == t.id {
			start.Peak, start.Children = w.peak, w.children
		}
		all = append(all, start)
	}
	return all
}
