package timing

import (
	"cmp"
	"time"
)

// What a results file says of the processes that ran its tests.

var workerKeys = []string{"worker", "startup_us", "collect_us", "floor", "imports_us", "pid"}

// worker reads what one worker paid. The plugin spreads the imports of a large
// suite over several lines.
func (p *resultsReader) worker() {
	d := &p.d
	var w WorkerResult
	d.fields(workerKeys, 1, func(i int) {
		switch i {
		case 0:
			w.Worker = p.intern()
		case 1:
			w.Startup = p.micros()
		case 2:
			w.Collect = p.micros()
		case 3:
			w.Floor = d.number()
		case 4:
			w.Imports = map[string]time.Duration{}
			d.expect('{')
			for n := 0; d.more('}', &n); {
				file := string(d.key())
				if _, ok := w.Imports[file]; ok {
					d.failf("key %q twice", file)
				}
				w.Imports[file] = p.micros()
			}
		case 5:
			w.PID = int(d.number())
		}
	})
	if d.msg != "" {
		return
	}
	known := p.process(w.Worker, w.PID)
	known.Startup = max(known.Startup, w.Startup)
	known.Collect = max(known.Collect, w.Collect)
	known.Floor = max(known.Floor, w.Floor)
	known.PID = cmp.Or(w.PID, known.PID)
	p.levels[w.Worker] = known.Floor
	if known.Imports == nil {
		known.Imports = w.Imports
		return
	}
	for file, cost := range w.Imports {
		known.Imports[file] = max(known.Imports[file], cost)
	}
}

// process returns the newest process of a worker's name. Where killed tests run again,
// that is another one than before, and what is known of the one that died does not hold
// of it.
func (p *resultsReader) process(name string, pid int) *WorkerResult {
	i, ok := p.workers[name]
	next := ok && pid != 0 && p.res.Workers[i].PID != 0 && p.res.Workers[i].PID != pid
	if next {
		delete(p.earlier, name)
		p.watch(name).renew()
	}
	if w := p.memory[name]; w != nil && !ok {
		w.again = false // xdist's controller was sampled under this name, in a session before
	}
	if !ok || next {
		i = len(p.res.Workers)
		p.workers[name] = i
		p.res.Workers = append(p.res.Workers, WorkerResult{Worker: name})
	}
	return &p.res.Workers[i]
}

// pid returns the ID of a worker's newest process, 0 where that is not known.
func (p *resultsReader) pid(worker string) int {
	if i, ok := p.workers[worker]; ok {
		return p.res.Workers[i].PID
	}
	return 0
}

var tailKeys = []string{"worker", "tail_us"}

func (p *resultsReader) tail() {
	var worker string
	var tail time.Duration
	p.d.fields(tailKeys, 2, func(i int) {
		if i == 0 {
			worker = p.intern()
		} else {
			tail = p.micros()
		}
	})
	if p.d.msg == "" {
		p.process(worker, 0).Tail = tail
	}
}
