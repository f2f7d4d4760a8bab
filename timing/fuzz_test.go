package timing

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

// badInput fails unless err is a *SyntaxError about the file at a line that it
// has.
func badInput(t *testing.T, in []byte, err error) {
	t.Helper()
	var syntax *SyntaxError
	if !errors.As(err, &syntax) {
		t.Fatalf("error %v of type %T, want a *SyntaxError", err, err)
	}
	if lines := bytes.Count(in, []byte("\n")) + 1; syntax.File != "f" || syntax.Line < 0 || syntax.Line > lines {
		t.Fatalf("error %v, want a line of f from 0 to %d", err, lines)
	}
}

// wellFormed fails unless encoding/json, too, reads each line as JSON, and as
// the same values after a round trip through its own spelling.
func wellFormed(t *testing.T, in []byte) {
	t.Helper()
	for line := range bytes.Lines(in) {
		if !json.Valid(line) {
			t.Fatalf("accepted, but is not JSON: %q", line)
		}
	}
}

// respelled writes every line of JSON as encoding/json would: other escapes,
// no white space.
func respelled(t *testing.T, in []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	for line := range bytes.Lines(in) {
		var b bytes.Buffer
		if err := json.Compact(&b, line); err != nil {
			t.Fatal(err)
		}
		json.HTMLEscape(&out, b.Bytes())
		out.WriteByte('\n')
	}
	return out.Bytes()
}

func FuzzReadResults(f *testing.F) {
	f.Add([]byte(header))
	h := testHeader()
	f.Add([]byte(string(h.Line()) + `{"t":"worker","worker":"gw0","startup_us":5,"collect_us":70,"floor":123,"imports_us":{"a.py":60}}
{"t":"start","id":"a.py::t[1]","worker":"gw0"}
{"t":"test","id":"a.py::t[1]","worker":"gw0","start_us":80,"outcome":"failed","setup_us":1,"call_us":2,"teardown_us":3,"wall_us":40,"fixtures":[["module a.py::m",10,0]],"before":1,"peak":9,"after":5,"reruns":1,"message":"\u00e4 \ud83d\ude00","path":"a.py","line":12}
{"t":"missing","ids":["a.py::gone"]}
{"t":"extra","ids":[]}
{"t":"note","text":"<x>"}
{"t":"tail","worker":"gw0","tail_us":800}
` + string(EndLine(1, time.Second))))
	f.Add([]byte(header + `{"t":"start","id":"a.py::t","worker":"main"}
{"t":"test","id":"a.py::t","worker":"main","outcome":"passed","setup_us":1000000000000000,"call_us":1000000000000000,"teardown_us":1000000000000000,"wall_us":1000000000000000,"fixtures":[` +
		strings.Repeat(`["session ::s",1000000000000000,1000000000000000],`, 9) + `["import a",1000000000000000,0]],"before":1,"peak":1000000000000000,"children":1000000000000000}
{"t":"test","id":"a.py::u","worker":"main","outcome":"passed","fixtures":[["import a",1000000000000000,0]]}
`)) // whose sums are beyond what a file may say
	f.Add([]byte(header + ` { "t" : "start" , "worker" : "main" , "id" : "a\\b\/\n" } ` + "\r\n" + `{"t":"sta`))
	f.Fuzz(func(t *testing.T, in []byte) {
		res, err := ReadResults(bytes.NewReader(in), "f")
		if err != nil {
			badInput(t, in, err)
			return
		}
		if len(res.Warnings) > 0 {
			in = in[:bytes.LastIndexByte(in, '\n')+1]
		}
		wellFormed(t, in)
		again, err := ReadResults(bytes.NewReader(respelled(t, in)), "f")
		res.Warnings = nil
		if err != nil || !reflect.DeepEqual(again, res) {
			t.Fatalf("spelled by encoding/json: %+v, %v, want %+v", again, err, res)
		}
		if want := countTests(t, in); len(res.Tests) != want {
			t.Fatalf("%d tests, encoding/json finds %d", len(res.Tests), want)
		}
		// Whatever a results file says, a history of it can be kept.
		kept := bytesOf(t, FromResults(res))
		h := reread(t, kept)
		if bytesOf(t, h) != kept {
			t.Fatalf("history is not what was written: %s", kept)
		}
		estimable(t, h)
		if line := string(res.Header.Line()); !bytes.Contains(in, []byte("\\")) {
			got, err := ReadResults(strings.NewReader(line), "f")
			if err != nil || !reflect.DeepEqual(got.Header, res.Header) {
				t.Fatalf("header %+v, %v, want %+v", got, err, res.Header)
			}
		}
	})
}

// countTests counts the lines of tests, those of several tries of one in a row for one.
func countTests(t *testing.T, in []byte) int {
	type test struct {
		T      string `json:"t"`
		ID     string `json:"id"`
		Worker string `json:"worker"`
		Start  int64  `json:"start_us"`
		Again  bool   `json:"again"`
	}
	n, last := 0, map[string]*test{}
	for line := range bytes.Lines(in) {
		var v test
		if err := json.Unmarshal(line, &v); err != nil {
			t.Fatal(err)
		}
		before := last[v.Worker]
		switch {
		case v.T == "start" && v.Again && before != nil && before.ID == v.ID:
			n--
			last[v.Worker] = nil
		case v.T == "test":
			if before == nil || v.Start == 0 || *before != v {
				n++
			}
			last[v.Worker] = &v
		}
	}
	return n
}

// generalHistory reads a history with encoding/json, slowly and without
// checks: what ReadHistory accepts must mean the same here.
func generalHistory(t *testing.T, in []byte) map[string][][]int64 {
	all := map[string][][]int64{}
	for i, line := range bytes.Split(bytes.TrimSuffix(in, []byte("\n")), []byte("\n")) {
		if i == 0 {
			continue
		}
		var s struct {
			Kind string    `json:"kind"`
			ID   string    `json:"id"`
			S    [][]int64 `json:"s"`
		}
		if err := json.Unmarshal(line, &s); err != nil {
			t.Fatal(err)
		}
		all[s.Kind+" "+s.ID] = s.S
	}
	return all
}

func FuzzReadHistory(f *testing.F) {
	r := run("r1", 1000, passed("a.py::a", 1), passed("b.py::[\u00e4\U0001f600\"\\\n]", 2))
	r.Workers = []WorkerResult{{Worker: "main", Startup: 1000, Imports: map[string]time.Duration{"a.py": time.Second}}}
	f.Add([]byte(bytesOf(f, FromResults(r, run("r2", 2000, passed("a.py::a", 3))))))
	f.Add([]byte(bytesOf(f, FromResults(jobRun("r3", 3000, 2, 1200, 1000, 100), jobRun("r4", 4000, 1, 1200, 1000, 100)))))
	f.Add([]byte(bytesOf(f, &History{})))
	f.Fuzz(func(t *testing.T, in []byte) {
		h, err := ReadHistory(bytes.NewReader(in), "f")
		if err != nil {
			badInput(t, in, err)
			return
		}
		wellFormed(t, in)
		got := map[string][][]int64{}
		for k, list := range h.series {
			name := kindNames[k]
			if kind(k) == testKind {
				name = ""
			}
			for _, s := range list {
				if !utf8.ValidString(s.id) {
					t.Fatalf("ID %q is not UTF-8", s.id)
				}
				var rows [][]int64
				if err := json.Unmarshal([]byte("["+strings.Join(rowsOf(s.samples), ",")+"]"), &rows); err != nil {
					t.Fatal(err)
				}
				got[name+" "+s.id] = rows
			}
		}
		if want := generalHistory(t, in); !reflect.DeepEqual(got, want) {
			t.Fatalf("read %v, encoding/json reads %v", got, want)
		}
		written := bytesOf(t, h)
		if again := bytesOf(t, reread(t, written)); again != written {
			t.Fatalf("written %s, then %s", written, again)
		}
		// Merging and pruning hold whatever the file said.
		merged := reread(t, written)
		merged.Merge(h)
		if got := bytesOf(t, merged); got != written {
			t.Fatalf("merged with itself %s, want %s", got, written)
		}
		limits := Limits{Keep: 1, MaxAge: 1}
		h.Prune(limits)
		merged.Prune(limits)
		merged.Merge(h)
		merged.Prune(limits)
		if got, want := bytesOf(t, merged), bytesOf(t, h); got != want {
			t.Fatalf("pruned twice %s, want %s", got, want)
		}
		estimable(t, h)
	})
}

// The fast path and the general decoder agree on every row, and the fast one
// leaves alone what it does not take.
func FuzzRow(f *testing.F) {
	for _, seed := range []string{"[0,0,1,23]],", "[1, 2]", "[01]", "[1,2", "[]", "[999999999999999,1000000000000000]", "[1,2,3,4,5,6,7,8,9,10]", "[1,2,3,4,5,6,7,8,9,10,11]", "[-1]", "[1.5]"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		var fast, general lineDecoder
		var fastRow, row [rowLen]int64
		fast.reset(in)
		general.reset(in)
		n, want := fast.fastRow(&fastRow), general.row(&row)
		switch {
		case n == 0 && fast.i != 0:
			t.Fatalf("took %d bytes of a row that it does not read", fast.i)
		case n == 0:
		case general.msg != "" || n != want || fastRow != row || fast.i != general.i:
			t.Errorf("fast: %d of %v up to %d; general: %d of %v up to %d, %s", n, fastRow, fast.i, want, row, general.i, general.msg)
		}
	})
}

func rowsOf(samples []sample) []string {
	var rows []string
	for i := range samples {
		rows = append(rows, string(samples[i].appendRow(nil)))
	}
	return rows
}

// estimable fails unless each test and a stranger have a positive estimate.
func estimable(t *testing.T, h *History) {
	ids := append(h.Tests(), "stranger.py::t[1]")
	for i, e := range h.EstimatorAt(Place{"linux", 2, 2}).Tests(ids) {
		if e.Wall <= 0 || e.Peak < 0 {
			t.Fatalf("estimate of %q is %+v", ids[i], e)
		}
	}
}

func fuzzImport(f *testing.F, read func(io.Reader, string) (*History, ImportReport, error), seeds ...string) {
	for _, seed := range seeds {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		h, report, err := read(bytes.NewReader(in), "f")
		if err != nil {
			badInput(t, in, err)
			if h != nil {
				t.Fatal("a history in spite of an error")
			}
			return
		}
		samples := 0
		for _, id := range h.Tests() {
			samples += len(h.Samples(id))
		}
		if samples > report.Mapped || samples == 0 && report.Mapped > 0 {
			t.Fatalf("%d samples of %d mapped", samples, report.Mapped)
		}
		if !slices.IsSorted(report.Unmapped) || !slices.IsSorted(report.Ambiguous) {
			t.Fatalf("report %+v is not sorted", report)
		}
		written := bytesOf(t, h)
		if again := bytesOf(t, reread(t, written)); again != written {
			t.Fatalf("written %s, then %s", written, again)
		}
		estimable(t, h)
	})
}

func FuzzImportJUnit(f *testing.F) {
	known := knownIDs(f)
	fuzzImport(f, func(r io.Reader, name string) (*History, ImportReport, error) { return ImportJUnit(r, name, known) },
		importData(f, "xunit1.xml"), importData(f, "xunit2.xml"), importData(f, "pytest70.xml"),
		`<testsuite timestamp="2020-01-02T03:04:05.678901"><testcase classname="a" name="t" file="a.py" time="2.5"><skipped type="pytest.xfail"/></testcase></testsuite>`)
}

func FuzzImportPytestSplit(f *testing.F) {
	fuzzImport(f, ImportPytestSplit, importData(f, "pytest-split.json"), `[["a.py::t", 1.5], ["b.py::t", 4e-7]]`)
}

func FuzzImportReportLog(f *testing.F) {
	var lines []string
	for line := range strings.Lines(importData(f, "reportlog-pytest70.jsonl")) {
		if len(line) < 1000 {
			lines = append(lines, line)
		}
	}
	fuzzImport(f, ImportReportLog, strings.Join(lines, ""), fmt.Sprintf("%s{\"nod", lines[0]))
}

// Names hold nothing that XML cannot, and an ID is found as itself.
func FuzzMangle(f *testing.F) {
	f.Add("tests/test_a.py::TestC::t[\a]")
	f.Add("di[r]/a.py::t")
	f.Fuzz(func(t *testing.T, id string) {
		if !utf8.ValidString(id) {
			t.Skip("node IDs are UTF-8")
		}
		for key, ids := range mangledIDs([]NodeID{NodeID(id)}) {
			if strings.ContainsAny(key.name, "\x00\a\x1b\x7f\uffff") {
				t.Fatalf("%q becomes %q", id, key)
			}
			if len(ids) != 1 || ids[0] != NodeID(id) {
				t.Fatalf("%q is found as %q", id, ids)
			}
		}
	})
}
