package timing

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"time"
)

// maxResultsLine bounds one line of a results file: a thousand node IDs of
// 10 kB in one "missing" line, and room.
const maxResultsLine = 32 << 20

// timeFormat is RFC 3339 in UTC to the millisecond.
const timeFormat = "2006-01-02T15:04:05.000Z"

// Line returns the header as the first line of a results file, newline
// included.
func (h ResultsHeader) Line() []byte {
	b := []byte(`{"wcshard":"results","version":` + strconv.Itoa(ResultsVersion) + `,"plan":`)
	b = appendString(b, h.Plan)
	b = append(b, `,"run":`...)
	b = appendString(b, h.Run)
	b = append(b, `,"shards":[`...)
	for i, s := range h.Shards {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendString(b, s)
	}
	b = append(b, `],"attempt":`...)
	b = strconv.AppendInt(b, int64(h.Attempt), 10)
	b = append(b, `,"runner":`...)
	b = appendString(b, h.Runner)
	b = append(b, `,"workers":`...)
	b = strconv.AppendInt(b, int64(h.Workers), 10)
	b = append(b, `,"started":`...)
	b = appendString(b, h.Started.UTC().Format(timeFormat))
	for _, more := range [...]struct {
		key   string
		value int64
	}{{"cpus", int64(h.CPUs)}, {"tests", int64(h.Tests)}, {"predicted_us", h.Predicted.Microseconds()}, {"setup_us", h.SetUp.Microseconds()}} {
		if more.value > 0 {
			b = strconv.AppendInt(append(b, `,"`+more.key+`":`...), more.value, 10)
		}
	}
	return append(b, '}', '\n')
}

// EndLine returns the closing line of a results file, newline included: the
// exit status of pytest and the wall time of its process.
func EndLine(exit int, elapsed time.Duration) []byte {
	return fmt.Appendf(nil, `{"t":"end","exit":%d,"elapsed_us":%d}`+"\n", exit, max(0, elapsed.Microseconds()))
}

// ReadResults reads a results file; name is the file's name for messages. Bad
// input is a *SyntaxError, but for a torn last line (the process was killed
// while it wrote): that is a warning in the results, and everything before it
// counts.
func ReadResults(r io.Reader, name string) (*Results, error) {
	p := resultsReader{
		res:     &Results{Name: name},
		open:    map[openTest]int{},
		dead:    map[openTest]int{},
		last:    map[string]int{},
		earlier: map[string]TestResult{},
		memory:  map[string]*workerWatch{},
		workers: map[string]int{},
		levels:  map[string]int64{},
		again:   map[NodeID]int{},
		names:   map[string]string{},
	}
	lines := newLineReader(r, name, maxResultsLine)
	for {
		line, whole, err := lines.next()
		if err == io.EOF {
			break
		}
		if err != nil {
			return nil, fmt.Errorf("reading results: %w", err)
		}
		p.d.reset(line)
		if lines.line == 1 {
			p.header()
		} else {
			p.event()
		}
		if p.d.msg == "" {
			continue
		}
		torn := lines.syntaxError("%s", p.d.msg)
		if whole || lines.line == 1 || json.Valid(line) {
			return nil, fmt.Errorf("reading results: %w", torn)
		}
		torn.Msg = fmt.Sprintf("torn last line of %d bytes left out", len(line))
		p.res.Warnings = append(p.res.Warnings, torn)
	}
	if lines.line == 0 {
		return nil, fmt.Errorf("reading results: %w", &SyntaxError{File: name, Msg: "empty file, want a results header"})
	}
	p.finish()
	return p.res, nil
}

// resultsReader collects what the lines of one results file say.
type resultsReader struct {
	d       lineDecoder
	res     *Results
	open    map[openTest]int      // started, not finished: the number of the start
	dead    map[openTest]int      // of these, those whose worker is gone
	last    map[string]int        // what each worker ran last: index into Tests
	earlier map[string]TestResult // by worker: the try before the one that runs
	starts  int
	memory  map[string]*workerWatch
	samples int               // processes that were sampled
	workers map[string]int    // by worker: its newest process, an index into res.Workers
	levels  map[string]int64  // what that held after its last test, bytes
	again   map[NodeID]int    // killed tries whose test has not run again
	names   map[string]string // one copy of each worker's name, outcome and place
}

// openTest is a test that started and has not finished.
type openTest struct {
	id     NodeID
	worker string
}

// finish lists the tests that never ended, in the order they started, and the
// last sample of each process, in the order of their first.
func (p *resultsReader) finish() {
	maps.Copy(p.open, p.dead)
	p.res.Running = p.running()
	for _, w := range p.memory {
		if w.last.Worker != "" {
			p.res.Memory = append(p.res.Memory, w.last)
		}
	}
	slices.SortFunc(p.res.Memory, func(a, b WorkerMemory) int {
		return cmp.Compare(p.memory[a.Worker].number, p.memory[b.Worker].number)
	})
}

// intern reads a string that comes again and again.
func (p *resultsReader) intern() string {
	b := p.d.text()
	if s, ok := p.names[string(b)]; ok {
		return s
	}
	s := string(b)
	if len(p.names) < 1<<16 {
		p.names[s] = s
	}
	return s
}

func (p *resultsReader) micros() time.Duration {
	return time.Duration(p.d.number()) * time.Microsecond
}

// version checks the format's name and version, which stand first in every
// file of ours, so that a newer file is called newer and not malformed.
func (d *lineDecoder) version(format string, newest int) {
	d.expect('{')
	if k := d.key(); d.msg != "" || string(k) != "wcshard" {
		d.msg = fmt.Sprintf("want a header {\"wcshard\":%q,…} in the first line", format)
		return
	}
	if got := d.text(); d.msg == "" && string(got) != format {
		d.msg = fmt.Sprintf("this is a %q file of wcshard, want %q", got, format)
		return
	}
	d.expect(',')
	if k := d.key(); d.msg == "" && string(k) != "version" {
		d.failf("want key \"version\", got %q", k)
	}
	switch v := d.number(); {
	case d.msg != "":
	case v > int64(newest):
		d.msg = NewerVersion(v, int64(newest))
	case v < 1:
		d.failf("version %d, want at least 1", v)
	}
}

var headerKeys = []string{"plan", "run", "shards", "attempt", "runner", "workers", "started", "cpus", "tests", "predicted_us", "setup_us"}

// headerRequired are the first of headerKeys, which every header has.
const headerRequired = 7

func (p *resultsReader) header() {
	d, h := &p.d, &p.res.Header
	d.version("results", ResultsVersion)
	d.fields(headerKeys, headerRequired, func(i int) {
		switch headerKeys[i] {
		case "plan":
			h.Plan = string(d.text())
		case "run":
			h.Run = string(d.text())
		case "shards":
			h.Shards = d.strings()
			if d.msg == "" && len(h.Shards) == 0 { // nobody would miss them, or count them
				d.failf("no shards, want at least one")
			}
			seen := make(map[string]bool, len(h.Shards))
			for _, name := range h.Shards {
				if d.msg == "" && (name == "" || seen[name]) {
					d.failf("shard %q is twice there or has no name", name)
				}
				seen[name] = true
			}
		case "attempt":
			h.Attempt = int(d.number())
		case "runner":
			h.Runner = string(d.text())
		case "workers":
			h.Workers = int(d.number())
		case "started":
			h.Started = d.time()
		case "cpus":
			h.CPUs = int(d.number())
		case "tests":
			h.Tests = int(d.number())
		case "predicted_us":
			h.Predicted = p.micros()
		case "setup_us":
			h.SetUp = p.micros()
		}
	})
}

// time reads a time as RFC 3339, from 1970 on, cut to the millisecond.
func (d *lineDecoder) time() time.Time {
	s := string(d.text())
	t, err := time.Parse(time.RFC3339, s)
	if d.msg == "" && (err != nil || t.Unix() < 0) {
		d.failf("bad time %q, want one like %q", s, timeFormat)
	}
	return t.UTC().Truncate(time.Millisecond)
}

func (p *resultsReader) event() {
	d := &p.d
	if p.res.Ended {
		d.failf("a line after the end")
		return
	}
	d.expect('{')
	if k := d.key(); d.msg == "" && string(k) != "t" {
		d.failf("want key \"t\" first, got %q", k)
	}
	kind := d.text()
	if d.msg != "" {
		return
	}
	switch string(kind) {
	case "start":
		p.start()
	case "test":
		p.test()
	case "worker":
		p.worker()
	case "tail":
		p.tail()
	case "mem":
		p.mem()
	case "missing":
		p.res.Missing = p.ids(p.res.Missing)
	case "extra":
		p.res.Extra = p.ids(p.res.Extra)
	case "broken":
		p.res.Broken = p.ids(p.res.Broken)
	case "down":
		p.down()
	case "killed":
		p.killed()
	case "note":
		p.note()
	case "end":
		p.end()
	default:
		d.failf("unknown line %q", kind)
	}
}

// fields reads the rest of a line, an object whose first key is behind us:
// field reads the value of key number i of names. The keys numbered below
// required must be there. What field did counts only if no error is set then:
// the last line may be torn.
func (d *lineDecoder) fields(names []string, required int, field func(i int)) {
	var keys uint32
	next := 0 // our writers keep to the order of names
	for n := 1; d.more('}', &n); {
		key := d.key()
		bit := next
		if bit >= len(names) || names[bit] != string(key) {
			bit = slices.IndexFunc(names, func(s string) bool { return s == string(key) })
		}
		if bit < 0 {
			d.failf("unknown key %q", key)
			return
		}
		d.seen(&keys, bit, names[bit])
		next = bit + 1
		field(bit)
	}
	d.end()
	for bit := range required {
		if keys&(1<<bit) == 0 {
			d.failf("key %q is missing", names[bit])
		}
	}
}

var startKeys = []string{"id", "worker", "again"}

func (p *resultsReader) start() {
	var t openTest
	again := false // within the protocol of the test that has just been reported
	p.d.fields(startKeys, 2, func(i int) {
		switch i {
		case 0:
			t.id = NodeID(p.d.text())
		case 1:
			t.worker = p.intern()
		case 2:
			again = p.d.bool()
		}
	})
	if p.d.msg != "" {
		return
	}
	if i, ok := p.lastOf(t.worker, t.id); ok && again { // what it came to is not known yet
		p.earlier[t.worker] = p.res.Tests[i]
		p.drop(i)
	}
	maps.DeleteFunc(p.dead, func(died openTest, _ int) bool { return died.id == t.id }) // this repeats it
	if _, ok := p.open[t]; !ok {
		p.open[t] = p.starts
		p.starts++
	}
	p.watch(t.worker).begin(t.id)
}

var testKeys = []string{"id", "worker", "outcome", "start_us", "setup_us", "call_us", "teardown_us", "wall_us",
	"fixtures", "before", "peak", "after", "children", "reruns", "message", "path", "line", "garbage", "marked"}

func (p *resultsReader) test() {
	d := &p.d
	var t TestResult
	d.fields(testKeys, 3, func(i int) {
		switch i {
		case 0:
			t.ID = NodeID(d.text())
		case 1:
			t.Worker = p.intern()
		case 2:
			t.Outcome = Outcome(p.intern())
			if d.msg == "" && !slices.Contains(outcomes, t.Outcome) {
				d.failf("unknown outcome %q", t.Outcome)
			}
		case 3:
			t.Start = p.micros()
		case 4:
			t.Setup = p.micros()
		case 5:
			t.Call = p.micros()
		case 6:
			t.Teardown = p.micros()
		case 7:
			t.Wall = p.micros()
		case 8:
			t.Fixtures = p.fixtures()
		case 9:
			t.Before = d.number()
		case 10:
			t.Peak = d.number()
		case 11:
			t.After = d.number()
		case 12:
			t.Children = d.number()
		case 13:
			t.Reruns = int(d.number())
		case 14:
			t.Message = string(d.text())
		case 15:
			t.Path = p.intern()
		case 16:
			t.Line = int(d.number())
		case 17:
			t.Garbage = int(d.number())
		case 18:
			t.Marked = d.bool()
		}
	})
	if d.msg != "" {
		return
	}
	delete(p.open, openTest{t.ID, t.Worker})
	delete(p.dead, openTest{t.ID, t.Worker})
	t.PID = p.pid(t.Worker)
	if w := p.memory[t.Worker]; w != nil {
		w.end(&t)
	}
	if t.After > 0 {
		p.levels[t.Worker] = t.After
	}
	p.takePlace(&t)
	if earlier, ok := p.earlier[t.Worker]; ok {
		delete(p.earlier, t.Worker)
		if earlier.ID == t.ID {
			t.follow(&earlier)
		}
	}
	// Where another scheduler than ours is asked for, no start says "again".
	if i, ok := p.lastOf(t.Worker, t.ID); ok && t.Start > 0 && p.res.Tests[i].Start == t.Start {
		t.follow(&p.res.Tests[i])
		p.drop(i)
	}
	p.last[t.Worker] = len(p.res.Tests)
	p.res.Tests = append(p.res.Tests, t)
}

// lastOf returns what a worker ran last, if that was the given test: an index into Tests.
func (p *resultsReader) lastOf(worker string, id NodeID) (int, bool) {
	i, ok := p.last[worker]
	return i, ok && i < len(p.res.Tests) && p.res.Tests[i].ID == id && p.res.Tests[i].Worker == worker
}

// drop takes a result back.
func (p *resultsReader) drop(i int) {
	p.res.Tests = slices.Delete(p.res.Tests, i, i+1)
	for worker, last := range p.last {
		switch {
		case last == i:
			delete(p.last, worker)
		case last > i:
			p.last[worker]--
		}
	}
}

// follow makes t the last of several tries of a test. Plugins such as flaky report the
// teardown of each of them, all within one protocol: what t measures is since the start
// of the first.
func (t *TestResult) follow(earlier *TestResult) {
	t.Before, t.Peak, t.Children = earlier.Before, max(earlier.Peak, t.Peak), max(earlier.Children, t.Children)
	t.Reruns += earlier.Reruns + 1
	if earlier.Outcome == PassedAlone && t.Outcome == Passed {
		t.Outcome = PassedAlone
	}
}

// fixtures reads [["module tests/test_a.py::model",setup_us,teardown_us],…].
func (p *resultsReader) fixtures() []FixtureResult {
	var list []FixtureResult
	d := &p.d
	d.expect('[')
	for n := 0; d.more(']', &n); {
		var f FixtureResult
		d.expect('[')
		f.ID = SetupID(p.intern())
		d.expect(',')
		f.Setup = p.micros()
		d.expect(',')
		f.Teardown = p.micros()
		d.expect(']')
		list = append(list, f)
	}
	return list
}

var idsKeys = []string{"ids"}

// ids returns the list with the IDs of a line.
func (p *resultsReader) ids(list []NodeID) []NodeID {
	d := &p.d
	longer := list
	d.fields(idsKeys, 1, func(int) {
		d.expect('[')
		for n := 0; d.more(']', &n); {
			longer = append(longer, NodeID(d.text()))
		}
	})
	if d.msg != "" {
		return list
	}
	return longer
}

var noteKeys = []string{"text"}

func (p *resultsReader) note() {
	var text string
	p.d.fields(noteKeys, 1, func(int) { text = string(p.d.text()) })
	if p.d.msg == "" {
		p.res.Notes = append(p.res.Notes, text)
	}
}

var endKeys = []string{"exit", "elapsed_us"}

func (p *resultsReader) end() {
	var exit int
	var elapsed time.Duration
	p.d.fields(endKeys, 2, func(i int) {
		if i == 0 {
			exit = int(p.d.integer())
		} else {
			elapsed = p.micros()
		}
	})
	if p.d.msg == "" {
		p.res.Ended, p.res.Exit, p.res.Elapsed = true, exit, elapsed
	}
}
