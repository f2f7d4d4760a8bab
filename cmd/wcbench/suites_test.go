package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestReadTests(t *testing.T) {
	name := filepath.Join(t.TempDir(), "report.xml")
	text := `<?xml version="1.0"?><testsuites><testsuite name="pytest">
<testcase classname="a" name="t[1]"/><testcase classname="a.B" name="t"><skipped/></testcase><testcase classname="a" name="t[1]"/><testcase classname="" name="skipped"><skipped/></testcase>
</testsuite></testsuites>`
	if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	got, err := readTests(name)
	if want := map[string]int{"a::t[1]": 2, "a.B::t": 1}; err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("readTests() = %v, %v, want %v", got, err, want)
	}
	if _, err := readTests(name + "x"); err == nil {
		t.Error("no file is no error")
	}
}

func TestCountTests(t *testing.T) {
	row := suiteRow{Jobs: []float64{1, 3, 2}}
	row.count(map[string]int{"a": 1, "b": 2, "c": 1}, map[string]int{"a": 2, "b": 1, "d": 1})
	if row.Longest != 3 || row.Sum != 6 || row.Tests != 4 || row.Lost != 2 || row.Doubled != 2 {
		t.Errorf("row is %+v", row)
	}
}

func TestFaults(t *testing.T) {
	good := suiteRow{Planner: "wcshard", Shards: 2}
	for _, bad := range []suiteRow{
		{Planner: "wcshard", Lost: 1}, {Planner: "wcshard", Doubled: 1}, {Planner: "wcshard", Wrong: []string{"job"}}, {Planner: "wcshard", Reason: "none"},
	} {
		if faults([]suiteRow{good, bad}) == nil {
			t.Errorf("%+v is no fault", bad)
		}
	}
	if err := faults([]suiteRow{good, {Planner: "rival", Lost: 3}}); err != nil {
		t.Errorf("faults() = %v: those of rivals are theirs", err)
	}
}

func TestPrintSuite(t *testing.T) {
	var b strings.Builder
	rows := []suiteRow{
		{Suite: "x", Planner: "wcshard", Shards: 2, Tests: 9, Jobs: []float64{0.5, 1}, Walls: []float64{2, 4}, Slower: []float64{2, 2}, Busy: 2, Longest: 2, Sum: 3, Bound: 1.5, Errors: []float64{0.1, 0.3}},
		{Suite: "x", Planner: "rival", Shards: 2, Reason: "it knows no files"},
	}
	if err := printSuite(&b, rows); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"x over 2 jobs, 9 tests", "20.0 %, at most 30.0 %", "no figures: it knows no files", "below 1.50", "2.0 times"} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("%q is not in\n%s", want, b.String())
		}
	}
}

func TestBrief(t *testing.T) {
	for wrong, want := range map[string]string{
		"job 1: python -m pytest: exit status 5: of a line\nwarnings\n288 deselected": "job 1: python -m pytest: exit status 5: 288 deselected",
		"job 2: python: signal: killed: out\nof memory":                               "job 2: python: signal: killed: of memory",
		"job 3: no such file": "job 3: no such file",
	} {
		if got := brief(wrong); got != want {
			t.Errorf("brief(%q) = %q, want %q", wrong, got, want)
		}
	}
}

// The suite of fixtures burns what it says, whatever the clock on the wall
// says, and is the same whenever it is written.
func TestFixtureSuite(t *testing.T) {
	python, err := exec.LookPath("python3")
	if err != nil {
		t.Skip("no python3")
	}
	var texts []map[string]string
	for range 2 {
		dir := t.TempDir()
		s := &benchSuite{spec: suiteSpecs["quick"], tool: "suites", dir: filepath.Join(dir, "suite"), out: filepath.Join(dir, "out"), python: python}
		if err := s.write(t.Context()); err != nil {
			t.Fatal(err)
		}
		files := map[string]string{}
		names, err := filepath.Glob(filepath.Join(s.dir, "part_*", "test_*.py"))
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range names {
			text, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			files[filepath.Base(name)] = string(text)
		}
		texts = append(texts, files)
		used, err := s.call(t.Context(), s.dir, s.python, "-c", "from burn import burn; burn(20)")
		if err != nil || used.cpu < 500*time.Millisecond {
			t.Errorf("20 units at a fortieth took %+v, %v, want at least 500 ms", used, err)
		}
	}
	if len(texts[0]) != 24 || !reflect.DeepEqual(texts[0], texts[1]) {
		t.Errorf("%d files, or others the second time", len(texts[0]))
	}
}

// fakePlanner has two jobs of one test each, which has the job's name, and notes
// them in a log.
func fakePlanner(name, first string) suitePlanner {
	script := `echo $1 >>log; ` + first + `
echo "<testsuites><testsuite><testcase classname='c' name='$1'/></testsuite></testsuites>" >"${2#--junitxml=}"`
	return suitePlanner{name, nil, func(context.Context, *benchSuite, int) (row suiteRow, calls []jobCall, err error) {
		for _, job := range []string{"0", "1"} {
			calls = append(calls, jobCall{Name: job, Args: []string{"sh", "-c", script, "sh", name + job}, Predicted: time.Second})
		}
		return row, calls, nil
	}}
}

// Planners record in turns, one that cannot does not try again, and what was recorded
// less often than is wanted now is not taken; nor what a call left that was cut off.
func TestRecordings(t *testing.T) {
	defer func(before []suitePlanner) { suitePlanners = before }(suitePlanners)
	dir := t.TempDir()
	var log []string
	records := func(name string, err error) suitePlanner {
		return suitePlanner{name, func(_ context.Context, s *benchSuite) error {
			if _, err := os.Stat(s.file("timings.jsonl")); err == nil {
				t.Error("durations of a call that was cut off are still there")
			}
			log = append(log, fmt.Sprint(name, s.runs))
			s.tests = map[string]int{"c::x": 1}
			return err
		}, nil}
	}
	suitePlanners = []suitePlanner{records("a", nil), records("b", errors.New("it cannot")), records("c", nil)}
	record := func(runs int) error {
		s := &benchSuite{spec: suiteSpec{name: "x"}, out: dir, recorded: map[string]error{}}
		err := s.recordAll(t.Context(), runs)
		if err == nil && (s.recorded["a"] != nil || s.recorded["b"] == nil || s.runs != runs) {
			t.Errorf("recorded are %v in %d runs", s.recorded, s.runs)
		}
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, "timings.jsonl"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	for range 2 { // the second takes what the first kept
		if err := record(2); err != nil || !slices.Equal(log, []string{"a0", "b0", "c0", "a1", "c1"}) {
			t.Errorf("recorded %q, %v", log, err)
		}
	}
	if err := record(3); err == nil || !strings.Contains(err.Error(), "record.json is of 2 recorded runs, not of 3: pass --recordings 2") {
		t.Errorf("kept for another number: %v", err)
	}
}

// Of several rounds the median counts of each job, at the pace of the recorded run,
// and tests count once.
func TestRounds(t *testing.T) {
	if _, err := exec.LookPath("sh"); err != nil {
		t.Skip("no sh")
	}
	dir := t.TempDir()
	defer func(before []suitePlanner) { suitePlanners = before }(suitePlanners)
	suitePlanners = []suitePlanner{fakePlanner("a", "")}
	s := &benchSuite{spec: suiteSpec{name: "x"}, dir: dir, out: dir, share: 1, recorded: map[string]error{}, tests: map[string]int{"c::a0": 1, "c::a1": 1}}
	s.pace, s.beat = &pacer{beats: []beat{{seconds: 3}}}, 2
	rows, err := s.compare(t.Context(), 2, 3)
	if err != nil {
		t.Fatal(err)
	}
	r := rows[0]
	if r.Rounds != 3 || len(r.Jobs) != 2 || len(r.Walls) != 2 || len(r.Errors) != 2 || r.Lost+r.Doubled > 0 || !slices.Equal(r.Slower, []float64{1.5, 1.5}) {
		t.Errorf("the row is %+v", r)
	}
	var c comparison
	if _, err := readKept(filepath.Join(dir, "part-2.json"), &c); err != nil || len(c.Runs) != 1 || len(c.Runs[0]) != 2 || len(c.Runs[0][0]) != 3 {
		t.Errorf("kept %+v, %v, want three runs of two jobs", c.Runs, err)
	}
}

func TestSettle(t *testing.T) {
	row := suiteRow{Jobs: []float64{9}}
	row.settle([][]jobRun{{{4, 3, 1, 5, 1}, {1, 1, 1, 9, 1.5}, {2, 2, 1, 7, 2}}, {{3, 3, 0, 3, 1}}}, []jobCall{{Predicted: 5 * time.Second}, {}}, 0.5)
	want := suiteRow{Jobs: []float64{2, 3}, Walls: []float64{7, 3}, Slower: []float64{1.5, 1}, Busy: 2, Errors: []float64{0.25}}
	if !reflect.DeepEqual(row, want) {
		t.Errorf("the row is %+v, want %+v", row, want)
	}
}

// What a job really took is at the pace that the machine had.
func TestOnce(t *testing.T) {
	sh, err := exec.LookPath("sh")
	if err != nil {
		t.Skip("no sh")
	}
	dir := t.TempDir()
	s := &benchSuite{dir: dir, out: dir, pace: &pacer{beats: []beat{{seconds: 3}}}, beat: 2}
	run := []string{sh, "-c", `echo "<testsuites/>" >"${1#--junitxml=}"`, sh}
	if o, err := s.once(t.Context(), run); err != nil || o.slower != 1.5 {
		t.Errorf("once() = %+v, %v, want 1.5 times slower", o, err)
	}
	s.pace.ended = true
	if _, err := s.once(t.Context(), run); !errors.Is(err, errNoPace) {
		t.Errorf("once() = %v though nobody says how fast the machine is", err)
	}
}

// A comparison that was cut off goes on with the job that it was at.
func TestCompareGoesOn(t *testing.T) {
	if _, err := exec.LookPath("sh"); err != nil {
		t.Skip("no sh")
	}
	dir := t.TempDir()
	const first = `if [ $1 = b1 ] && [ ! -e there ]; then touch there; exit; fi`
	defer func(before []suitePlanner) { suitePlanners = before }(suitePlanners)
	suitePlanners = []suitePlanner{fakePlanner("a", first), fakePlanner("b", first), {"none", nil, nil}}
	s := &benchSuite{spec: suiteSpec{name: "x"}, dir: dir, out: dir, recorded: map[string]error{"none": errors.New("it cannot")}, tests: map[string]int{"c::a0": 1, "c::b1": 1}}
	if _, err := s.measure(t.Context(), 2, 1); err == nil {
		t.Fatal("a job without a report is no error")
	}
	rows, err := s.measure(t.Context(), 2, 1)
	if err != nil {
		t.Fatal(err)
	}
	log, err := os.ReadFile(filepath.Join(dir, "log"))
	if want := "a0\nb0\na1\nb1\nb1\n"; err != nil || string(log) != want {
		t.Errorf("ran %q, %v, want %q", log, err, want)
	}
	for i, want := range []suiteRow{{Tests: 2, Lost: 1, Doubled: 1}, {Tests: 2, Lost: 1, Doubled: 1}, {Reason: "it cannot"}} {
		if r := rows[i]; r.Tests != want.Tests || r.Lost != want.Lost || r.Doubled != want.Doubled || r.Reason != want.Reason || i < 2 && len(r.Jobs) != 2 {
			t.Errorf("row %d is %+v", i, r)
		}
	}
	// So does one that wants more rounds.
	if rows, err = s.measure(t.Context(), 2, 2); err != nil {
		t.Fatal(err)
	}
	log, err = os.ReadFile(filepath.Join(dir, "log"))
	if want := "a0\nb0\na1\nb1\nb1\na0\nb0\na1\nb1\n"; err != nil || string(log) != want {
		t.Errorf("with a second round it ran %q, %v, want %q", log, err, want)
	}
	if r := rows[0]; r.Rounds != 2 || len(r.Jobs) != 2 || r.Sum != r.Jobs[0]+r.Jobs[1] {
		t.Errorf("with a second round the row is %+v", r)
	}
}
