package timing

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"slices"
	"time"
)

// ImportReport says what an import brought in. What is left out is named as
// the file names it.
type ImportReport struct {
	Mapped    int      // samples whose test is known for sure
	Unmapped  []string // no known test looks like this; sorted
	Ambiguous []string // several known tests look like this; sorted
}

// Another tool's file becomes one source of samples, whose run is named by the
// file's content: the same file imported twice changes nothing.
const importPrefix = "import:"

// maxImport bounds such a file, in bytes.
const maxImport = 512 << 20

// imported gathers what a file of another tool says.
type imported struct {
	started int64 // milliseconds since 1970; 0 where the file does not say
	ids     []NodeID
	samples []sample
	report  ImportReport
}

func (m *imported) add(id NodeID, s sample) {
	m.ids = append(m.ids, id)
	m.samples = append(m.samples, s)
	m.report.Mapped++
}

func (m *imported) history(file []byte) (*History, ImportReport) {
	b := newBuilder()
	run := fmt.Sprintf("%s%x", importPrefix, sha256.Sum256(file))[:len(importPrefix)+16]
	src := b.source(time.UnixMilli(m.started), run, "")
	for i, s := range m.samples {
		s.source = src
		b.add(testKind, string(m.ids[i]), s)
	}
	slices.Sort(m.report.Unmapped)
	slices.Sort(m.report.Ambiguous)
	return b.history(), m.report
}

// importFile reads a whole file and hands it to parse, whose errors are bad
// input at a line of the file.
func importFile(what string, r io.Reader, name string, parse func(file []byte, m *imported) (line int, err error)) (*History, ImportReport, error) {
	file, err := io.ReadAll(io.LimitReader(r, maxImport+1))
	if err != nil {
		return nil, ImportReport{}, fmt.Errorf("importing %s: reading %s: %w", what, name, err)
	}
	line := 0
	m := &imported{}
	if len(file) > maxImport {
		err = fmt.Errorf("file larger than %d bytes", maxImport)
	} else {
		line, err = parse(file, m)
	}
	if err != nil {
		return nil, ImportReport{}, fmt.Errorf("importing %s: %w", what, &SyntaxError{File: name, Line: line, Msg: err.Error()})
	}
	h, report := m.history(file)
	return h, report, nil
}

// seconds turns the seconds of another tool's file into whole microseconds.
func seconds(s float64) (int64, error) {
	if !(s >= 0 && s <= maxNumber/1e6) {
		return 0, fmt.Errorf("duration of %v seconds", s)
	}
	return int64(math.Round(s * 1e6)), nil
}

// lineAt returns the number of the line that byte offset is in.
func lineAt(file []byte, offset int64) int {
	return 1 + bytes.Count(file[:min(max(0, offset), int64(len(file)))], []byte("\n"))
}

// ImportPytestSplit reads the durations that pytest-split stores, by node ID,
// as an object or, as its first versions did, as a list of pairs. They hold no
// outcome and no date: all count as passed, and as older than any run of ours.
func ImportPytestSplit(r io.Reader, name string) (*History, ImportReport, error) {
	return importFile("pytest-split durations", r, name, func(file []byte, m *imported) (int, error) {
		durations, offset, err := splitDurations(file)
		if err != nil {
			return lineAt(file, offset), err
		}
		for _, id := range slices.Sorted(maps.Keys(durations)) {
			us, err := seconds(durations[id])
			if err != nil {
				return 0, fmt.Errorf("test %q: %w", id, err)
			}
			m.add(withoutGroup(id), sample{call: us})
		}
		return 0, nil
	})
}

// splitDurations returns the durations, or an error and where in the file it is.
func splitDurations(file []byte) (durations map[string]float64, offset int64, err error) {
	durations = map[string]float64{}
	if !bytes.HasPrefix(bytes.TrimSpace(file), []byte("[")) {
		if err := json.Unmarshal(file, &durations); err != nil {
			return nil, errorOffset(err), err
		}
		if durations == nil {
			return nil, 0, errors.New("want an object of durations by node ID")
		}
		return durations, 0, nil
	}
	var pairs []json.RawMessage
	if err := json.Unmarshal(file, &pairs); err != nil {
		return nil, errorOffset(err), err
	}
	d := json.NewDecoder(bytes.NewReader(file)) // which tells where a pair is
	_, err = d.Token()
	for err == nil && d.More() {
		var p splitPair
		if err = d.Decode(&p); err == nil {
			durations[p.id] = p.seconds
		}
	}
	return durations, d.InputOffset(), err
}

// splitPair is ["node ID", seconds].
type splitPair struct {
	id      string
	seconds float64
}

func (p *splitPair) UnmarshalJSON(b []byte) error {
	var two []json.RawMessage
	if err := json.Unmarshal(b, &two); err != nil {
		return err
	}
	if len(two) != 2 {
		return fmt.Errorf("a list of %d values, want a node ID and its duration", len(two))
	}
	if err := json.Unmarshal(two[0], &p.id); err != nil {
		return err
	}
	return json.Unmarshal(two[1], &p.seconds)
}

// errorOffset returns where encoding/json found an error, 0 where it does not
// say.
func errorOffset(err error) int64 {
	var syntax *json.SyntaxError
	var kind *json.UnmarshalTypeError
	switch {
	case errors.As(err, &syntax):
		return syntax.Offset
	case errors.As(err, &kind):
		return kind.Offset
	}
	return 0
}

// report is a line of pytest-reportlog, as far as it matters here.
type report struct {
	Type     string           `json:"$report_type"`
	OldType  string           `json:"_report_type"` // pytest-subtests before pytest 9
	NodeID   string           `json:"nodeid"`
	When     string           `json:"when"`
	Outcome  string           `json:"outcome"`
	Duration float64          `json:"duration"`
	Start    float64          `json:"start"`
	WasXFail *json.RawMessage `json:"wasxfail"`
	Worker   string           `json:"worker_id"`
}

// ImportReportLog reads the JSON lines that pytest-reportlog writes. A test
// that the log leaves before its teardown is left out, and of a test that was
// run again only the last try counts. A torn last line is left out.
func ImportReportLog(r io.Reader, name string) (*History, ImportReport, error) {
	return importFile("report log", r, name, func(file []byte, m *imported) (int, error) {
		type run struct{ id, worker string }
		tries := map[run]*try{}
		started := math.Inf(1)
		line := 0
		for text, whole := file, true; len(text) > 0; {
			var l []byte
			l, text, whole = bytes.Cut(text, []byte("\n"))
			line++
			var p report
			if err := json.Unmarshal(l, &p); err != nil {
				if !whole && line > 1 && !json.Valid(l) {
					break
				}
				return line, err
			}
			p.Type = cmp.Or(p.Type, p.OldType)
			if p.Type == "" && line == 1 {
				return line, errors.New("want a line of pytest-reportlog, with a \"$report_type\"")
			}
			if p.Type != "TestReport" && p.Type != "SubTestReport" && p.Type != "SubtestReport" {
				continue
			}
			key := run{p.NodeID, p.Worker}
			t := tries[key]
			if t == nil || p.When == "setup" && p.Type == "TestReport" && p.Outcome != "rerun" {
				t = &try{}
				tries[key] = t
			}
			if err := t.add(&p); err != nil {
				return line, err
			}
			if p.Type == "TestReport" && p.Start > 0 {
				started = min(started, p.Start)
			}
			if t.done {
				if !t.rerun {
					m.add(withoutGroup(p.NodeID), t.sample())
				}
				delete(tries, key)
			}
		}
		if started < maxNumber/1e3 {
			m.started = int64(math.Round(started * 1e3))
		}
		return 0, nil
	})
}

// try is one run of one test, as its reports tell it.
type try struct {
	times         [3]int64 // set-up, call, teardown; microseconds
	setup, call   Outcome
	teardownError bool
	rerun, done   bool
}

func (t *try) add(p *report) error {
	us, err := seconds(p.Duration)
	if err != nil {
		return err
	}
	t.rerun = t.rerun || p.Outcome == "rerun"
	if p.Type != "TestReport" { // a subtest: its time is in the test's own
		if p.Outcome == "failed" {
			t.call = Failed
		}
		return nil
	}
	outcome := Passed
	switch {
	case p.Outcome == "failed":
		outcome = Failed
	case p.Outcome == "skipped" && p.WasXFail != nil:
		outcome = XFailed
	case p.Outcome == "skipped":
		outcome = Skipped
	case p.WasXFail != nil:
		outcome = XPassed
	}
	switch p.When {
	case "setup":
		t.times[0], t.setup = us, outcome
	case "call":
		t.times[1] = us
		if t.call != Failed {
			t.call = outcome
		}
	case "teardown":
		t.times[2], t.teardownError, t.done = us, outcome == Failed, true
	case "???": // xdist's report of a crashed worker
		t.call, t.done = Crashed, true
	default:
		return fmt.Errorf("a report of phase %q", p.When)
	}
	return nil
}

func (t *try) sample() sample {
	outcome := t.call
	switch {
	case t.call == Failed || t.call == Crashed:
	case t.setup == Failed || t.teardownError:
		outcome = Error
	case t.call == "":
		outcome = t.setup // skipped or xfailed before its call
	}
	if outcome == "" {
		outcome = Passed
	}
	return sample{setup: t.times[0], call: t.times[1], teardown: t.times[2], outcome: int8(slices.Index(outcomes, outcome))}
}
