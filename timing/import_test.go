package timing

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// The files in testdata/import were written by pytest 9.2 (pytest 7.0.1 where
// the name says so), pytest-reportlog 1.0, pytest-split 0.11 and pytest-xdist
// 3.8 for test_a.py.txt, as tests/test_a.py beside two small files; ids.txt is
// what pytest --collect-only -q says of these.
func importData(t testing.TB, name string) string {
	b, err := os.ReadFile(filepath.Join("testdata", "import", name))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func knownIDs(t testing.TB) []NodeID {
	var ids []NodeID
	for line := range strings.Lines(importData(t, "ids.txt")) {
		ids = append(ids, NodeID(strings.TrimSuffix(line, "\n")))
	}
	return ids
}

// outcomesIn returns the outcome of each test's only sample.
func outcomesIn(t *testing.T, h *History) map[NodeID]Outcome {
	got := map[NodeID]Outcome{}
	for _, id := range h.Tests() {
		samples := h.Samples(id)
		if len(samples) != 1 {
			t.Errorf("%q has samples %v, want one", id, samples)
		}
		got[id] = samples[0].Outcome
		if wall := samples[0].Setup + samples[0].Call + samples[0].Teardown; wall > time.Second {
			t.Errorf("%q takes %v", id, wall)
		}
	}
	return got
}

func TestImportReal(t *testing.T) {
	// What pytest said of each test that did not simply pass.
	notPassed := map[NodeID]Outcome{
		"tests/test_a.py::test_skip": Skipped, "tests/test_a.py::test_xfail": XFailed, "tests/test_a.py::test_xpass": XPassed,
		"tests/test_a.py::test_xpass_strict": Failed, "tests/test_a.py::test_fail": Failed, "tests/test_a.py::test_error": Error,
		"tests/test_a.py::test_teardown_error": Error, "tests/test_a.py::test_fails_twice": Failed,
		"tests/test_a.py::UnitTest::test_subtests": Failed,
	}
	known := knownIDs(t)
	want := map[NodeID]Outcome{}
	for _, id := range known {
		want[id] = Passed
	}
	maps.Copy(want, notPassed)
	inXML := maps.Clone(want) // which does not tell an xpass from a pass
	inXML["tests/test_a.py::test_xpass"] = Passed
	pytest70 := func(all map[NodeID]Outcome) map[NodeID]Outcome { // was run without two of the tests, and with another
		all = maps.Clone(all)
		delete(all, "tests/sub/test_a.py::test_plain")
		delete(all, "tests/test_a.py::tests.test_a.doc")
		all["tests/test_a.py::test_flaky"] = Passed
		return all
	}
	unknownOutcome := map[NodeID]Outcome{}
	for _, id := range known {
		unknownOutcome[id] = Passed
	}
	junit := func(r io.Reader, name string) (*History, ImportReport, error) {
		return ImportJUnit(r, name, append(slices.Clone(known), "tests/test_a.py::test_flaky"))
	}
	rebuilt := func(r io.Reader, name string) (*History, ImportReport, error) { return ImportJUnit(r, name, nil) }
	for _, c := range []struct {
		file     string
		imported func(io.Reader, string) (*History, ImportReport, error)
		want     map[NodeID]Outcome
	}{
		{"xunit1.xml", junit, inXML},
		{"xunit1.xml", rebuilt, inXML},
		{"xunit2.xml", junit, inXML},
		{"xunit2-xdist.xml", junit, inXML},
		{"pytest70.xml", junit, pytest70(inXML)},
		{"reportlog.jsonl", ImportReportLog, want},
		{"reportlog-xdist.jsonl", ImportReportLog, want},
		{"reportlog-pytest70.jsonl", ImportReportLog, pytest70(want)},
		{"pytest-split.json", ImportPytestSplit, unknownOutcome},
	} {
		t.Run(c.file, func(t *testing.T) {
			h, report, err := c.imported(strings.NewReader(importData(t, c.file)), c.file)
			if err != nil {
				t.Fatal(err)
			}
			got := outcomesIn(t, h)
			for id, outcome := range c.want {
				if got[id] != outcome {
					t.Errorf("%q is %q, want %q", id, got[id], outcome)
				}
			}
			if len(got) != len(c.want) || report.Mapped != len(c.want) || len(report.Unmapped)+len(report.Ambiguous) > 0 {
				t.Errorf("%d tests and %+v, want %d mapped", len(got), report, len(c.want))
			}
			if runs := h.Runs(); len(runs) != 1 || !strings.HasPrefix(runs[0], "import:") {
				t.Errorf("Runs() = %q, want one import", runs)
			}
			// Import is a history like any other, and twice is once.
			want := bytesOf(t, h)
			twice, _, err := c.imported(strings.NewReader(importData(t, c.file)), "again")
			if err != nil {
				t.Fatal(err)
			}
			twice.Merge(h)
			if got := bytesOf(t, reread(t, bytesOf(t, twice))); got != want {
				t.Errorf("imported twice:\n%s, want\n%s", got, want)
			}
			started := h.Samples(h.Tests()[0])[0].Started
			undated := c.file == "pytest-split.json" || c.file == "reportlog-pytest70.jsonl"
			if undated != (started.Year() == 1970) {
				t.Errorf("started %v, want a date: %v", started, !undated)
			}
		})
	}
}

func TestImportTimes(t *testing.T) {
	us := time.Microsecond
	h, _, err := ImportReportLog(strings.NewReader(`{"$report_type": "SessionStart"}
{"nodeid":"a.py::t","when":"setup","outcome":"passed","duration":0.001,"start":1700000000.5,"$report_type":"TestReport"}
{"nodeid":"a.py::u","when":"setup","outcome":"passed","duration":0.5,"start":1700000002.5,"$report_type":"TestReport"}
{"nodeid":"a.py::t","when":"call","outcome":"passed","duration":0.0200004,"$report_type":"TestReport"}
{"nodeid":"a.py::t","when":"teardown","outcome":"passed","duration":0.3,"$report_type":"TestReport"}
{"nodeid":"a.py::v","when":"???","outcome":"failed","duration":0,"$report_type":"TestReport"}
{"nodeid":"a.py::u","when":"ca`), "log")
	if err != nil {
		t.Fatal(err)
	}
	if got, want := h.Samples("a.py::t")[0], (Sample{Started: time.UnixMilli(1700000000500).UTC(), Run: h.Runs()[0], Outcome: Passed, Setup: 1000 * us, Call: 20000 * us, Teardown: 300000 * us}); got != want {
		t.Errorf("sample %+v, want %+v", got, want)
	}
	if got, want := h.Tests(), []NodeID{"a.py::t", "a.py::v"}; !slices.Equal(got, want) {
		t.Errorf("Tests() = %q, want %q", got, want)
	}
	if got := h.Samples("a.py::v")[0].Outcome; got != Crashed {
		t.Errorf("outcome %q, want %q", got, Crashed)
	}

	h, _, err = ImportPytestSplit(strings.NewReader(`[["a.py::t", 1.5], ["b.py::t", 0.0000004], ["b.py::t[1]@group", 1]]`), "split")
	if err != nil {
		t.Fatal(err)
	}
	if want := []NodeID{"a.py::t", "b.py::t", "b.py::t[1]"}; !slices.Equal(h.Tests(), want) {
		t.Errorf("Tests() = %q, want %q, without xdist's group", h.Tests(), want)
	}
	if got := h.Samples("a.py::t")[0].Call; got != 1500*time.Millisecond {
		t.Errorf("call of %v, want 1.5s", got)
	}

	h, report, err := ImportJUnit(strings.NewReader(`<testsuite timestamp="2020-01-02T03:04:05.678901"><testcase classname="tests.test_a.TestX" name="t[#x07]" time="2.5"/>
		<testcase classname="other" name="t" time="1"/><testcase classname="a.b" name="t" time="1"/><testcase classname="a.b" name="t" file="a/b.py" time="4"/></testsuite>`),
		"x", []NodeID{"tests/test_a.py::TestX::t[\a]", "a/b.py::t", "a.b.py::t"})
	if err != nil {
		t.Fatal(err)
	}
	if got := h.Samples("tests/test_a.py::TestX::t[\a]")[0]; got.Call != 2500*time.Millisecond || got.Started != time.Date(2020, 1, 2, 3, 4, 5, 678e6, time.UTC) {
		t.Errorf("sample %+v, want 2.5s at the suite's timestamp", got)
	}
	if got := h.Samples("a/b.py::t")[0].Call; got != 4*time.Second {
		t.Errorf("the file attribute does not decide: call of %v, want 4s", got)
	}
	if report.Mapped != 2 || !slices.Equal(report.Unmapped, []string{"other::t"}) || !slices.Equal(report.Ambiguous, []string{"a.b::t"}) {
		t.Errorf("report %+v", report)
	}
}

// callsIn returns what the calls of a test took, in seconds.
func callsIn(h *History, id NodeID) (all []int) {
	for _, s := range h.Samples(id) {
		all = append(all, int(s.Call/time.Second))
	}
	return all
}

// A try that pytest-rerunfailures repeats is none of the test's times, whichever phase
// failed; two workers that run one test do not mix.
func TestImportReruns(t *testing.T) {
	var log strings.Builder
	report := func(id, when, outcome string, seconds int, worker string) {
		fmt.Fprintf(&log, `{"$report_type":"TestReport","nodeid":%q,"when":%q,"outcome":%q,"duration":%d,"worker_id":%q}`+"\n", id, when, outcome, seconds, worker)
	}
	report("a.py::again", "setup", "passed", 0, "")
	report("a.py::again", "call", "passed", 9, "")
	report("a.py::again", "teardown", "rerun", 0, "")
	report("a.py::again", "setup", "passed", 0, "")
	report("a.py::again", "call", "passed", 1, "")
	report("a.py::again", "teardown", "passed", 0, "")
	report("a.py::two", "setup", "passed", 0, "gw0")
	report("a.py::two", "call", "passed", 5, "gw0")
	report("a.py::two", "setup", "passed", 0, "gw1")
	report("a.py::two", "call", "passed", 6, "gw1")
	report("a.py::two", "teardown", "passed", 0, "gw0")
	report("a.py::two", "teardown", "passed", 0, "gw1")
	h, _, err := ImportReportLog(strings.NewReader(log.String()), "log")
	if err != nil {
		t.Fatal(err)
	}
	for id, want := range map[NodeID][]int{"a.py::again": {1}, "a.py::two": {5, 6}} {
		if got := callsIn(h, id); !slices.Equal(got, want) {
			t.Errorf("%s took %d s, want %d", id, got, want)
		}
	}
}

func TestImportErrors(t *testing.T) {
	junit := func(r io.Reader, name string) (*History, ImportReport, error) { return ImportJUnit(r, name, nil) }
	log := `{"$report_type": "SessionStart"}` + "\n"
	for _, c := range []struct {
		name     string
		imported func(io.Reader, string) (*History, ImportReport, error)
		in, want string
	}{
		{"split: empty", ImportPytestSplit, "", "f:1: unexpected end of JSON input"},
		{"split: null", ImportPytestSplit, "null", "f:1: want an object of durations by node ID"},
		{"split: torn", ImportPytestSplit, "{\n\"a\": 1,\n", "f:3: unexpected end of JSON input"},
		{"split: text", ImportPytestSplit, "{\n\"a\": \"1\"}", "f:2: json: cannot unmarshal string into Go value of type float64"},
		{"split: negative", ImportPytestSplit, `{"b": -1, "a": 1e300}`, `f: test "a": duration of 1e+300 seconds`},
		{"split: triple", ImportPytestSplit, `[["b", 1, 2]]`, `f:1: a list of 3 values, want a node ID and its duration`},
		{"split: pair on a later line", ImportPytestSplit, "[[\"a\", 1],\n[\"b\",\n\"c\"],\n[\"d\", 1]]", `f:3: json: cannot unmarshal string into Go value of type float64`},
		{"log: empty object", ImportReportLog, "{}\n", `f:1: want a line of pytest-reportlog, with a "$report_type"`},
		{"log: torn middle", ImportReportLog, log + "{\"x\n" + log, `f:2: unexpected end of JSON input`},
		{"log: negative", ImportReportLog, log + `{"$report_type":"TestReport","duration":-1}`, `f:2: duration of -1 seconds`},
		{"log: phase", ImportReportLog, log + `{"$report_type":"TestReport","when":"then"}`, `f:2: a report of phase "then"`},
		{"junit: empty", junit, "", `f:1: no element, want <testsuites> or <testsuite>`},
		{"junit: HTML", junit, "<html/>", `f:1: element <html>, want one <testsuites> or <testsuite>`},
		{"junit: two roots", junit, "<testsuite/>\n<testsuite/>", `f:2: element <testsuite>, want one <testsuites> or <testsuite>`},
		{"junit: torn", junit, "<testsuite>\n<testcase name='x", `f:2: unexpected EOF`},
		{"junit: time", junit, "<testsuite><testcase name='x' time='fast'/>", `f:1: test "x" has a time of "fast"`},
		{"junit: NaN", junit, "<testsuite><testcase name='x' time='NaN'/>", `f:1: test "x" has a time of "NaN"`},
		{"junit: timestamp", junit, "<testsuite timestamp='today'/>", `f:1: bad timestamp "today"`},
		{"junit: entity bomb", junit, `<!DOCTYPE x [<!ENTITY a "&b;&b;">]><testsuite/>`, `f:1: a document type declaration, want pytest's JUnit XML`},
		{"junit: entity", junit, "<testsuite>&a;</testsuite>", `f:1: invalid character entity &a;`},
		{"junit: deep", junit, strings.Repeat("<testsuite>", 1000), `f:1: elements nested more than 32 deep`},
	} {
		t.Run(c.name, func(t *testing.T) {
			h, _, err := c.imported(strings.NewReader(c.in), "f")
			var syntax *SyntaxError
			if !errors.As(err, &syntax) || syntax.Error() != c.want || h != nil {
				t.Errorf("got %v, %v, want a syntax error %q", h, err, c.want)
			}
		})
	}
}

// Durations that pytest-split stored for real suites come in whole.
func TestImportRealDurations(t *testing.T) {
	files, err := filepath.Glob("../../shared/data/durations/*.json")
	if err != nil {
		t.Fatal(err)
	}
	if len(files) == 0 {
		t.Skip("no durations of real suites here")
	}
	for _, file := range files {
		f, err := os.Open(file)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		h, report, err := ImportPytestSplit(f, file)
		if err != nil {
			t.Fatal(err)
		}
		sum := time.Duration(0)
		for _, e := range h.Estimator("linux").Tests(h.Tests()) {
			if e.Rung != Measured {
				t.Fatalf("an estimate on rung %v", e.Rung)
			}
			sum += e.Wall
		}
		// 18 of OneGov's are there twice, with their xdist_group and from before they had one.
		if twice := report.Mapped - h.Len(); twice < 0 || twice > 18 || h.Len() < 1000 {
			t.Errorf("%s: %d tests of %d", file, h.Len(), report.Mapped)
		}
		t.Logf("%s: %d tests, %v", filepath.Base(file), h.Len(), sum.Round(time.Second))
	}
}
