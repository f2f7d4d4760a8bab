package timing

import "time"

// workerWatch follows what the samples say of one process, between the start
// and the end of its tests.
type workerWatch struct {
	number   int // of the first sample
	last     WorkerMemory
	again    bool   // last is of another session than those before it: the clock of the samples began anew
	stale    bool   // last is of another process, which died
	test     NodeID // "" between tests
	found    WorkerMemory
	peak     int64
	children int64
}

func (p *resultsReader) watch(worker string) *workerWatch {
	w := p.memory[worker]
	if w == nil {
		w = new(workerWatch)
		p.memory[worker] = w
	}
	return w
}

func (w *workerWatch) begin(id NodeID) {
	w.test, w.found, w.peak, w.children = id, w.last, 0, 0
	if w.stale {
		w.found = WorkerMemory{}
	}
}

// renew begins with another process of the name. It may have been seen already, while it
// collected.
func (w *workerWatch) renew() {
	w.test, w.stale, w.again = "", !w.again, false
}

func (w *workerWatch) sample(s WorkerMemory) {
	w.again, w.stale = !w.stale && (w.again || s.At < w.last.At), false
	w.last = s
	w.peak = max(w.peak, s.Resident)
	// What an earlier test left running is not this one's.
	w.found.Children = min(w.found.Children, s.Children)
	w.children = max(w.children, s.Children-w.found.Children)
}

// end gives a test what only the samples tell: its children, and all of its
// memory where the worker could not measure its own peak.
func (w *workerWatch) end(t *TestResult) {
	if w.test != t.ID {
		return
	}
	w.test = ""
	t.Children = max(t.Children, w.children)
	if t.Peak == 0 && w.peak > 0 {
		t.Before, t.Peak, t.After = w.found.Resident, w.peak, w.last.Resident
		t.Sampled = true
	}
}

var memKeys = []string{"at_us", "workers"}

// mem reads one sample: {"t":"mem","at_us":1,"workers":{"gw0":[resident,children],…}}.
func (p *resultsReader) mem() {
	d := &p.d
	var at time.Duration
	var samples []WorkerMemory
	d.fields(memKeys, 2, func(i int) {
		if i == 0 {
			at = p.micros()
			return
		}
		d.expect('{')
		for n := 0; d.more('}', &n); {
			s := WorkerMemory{Worker: string(d.key()), At: at}
			d.expect('[')
			s.Resident = d.number()
			d.expect(',')
			s.Children = d.number()
			d.expect(']')
			samples = append(samples, s)
		}
	})
	if d.msg != "" {
		return
	}
	for _, s := range samples {
		w := p.watch(s.Worker)
		if w.last.Worker == "" {
			w.number = p.samples
			p.samples++
		}
		w.sample(s)
	}
}
