package timing

import (
	"errors"
	"fmt"
	"io"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"time"
)

func testHeader() ResultsHeader {
	return ResultsHeader{
		Plan: "sha256:abc", Run: "gh-1", Shards: []string{"pool-1", `me"m`}, Attempt: 2, Runner: "local", Workers: 2,
		Started: time.Date(2026, 11, 23, 11, 0, 0, 123e6, time.UTC),
		CPUs:    4, Tests: 2, Predicted: 61 * time.Second, SetUp: 9 * time.Second,
	}
}

const header = `{"wcshard":"results","version":1,"plan":"sha256:abc","run":"gh-1","shards":["pool-1"],"attempt":1,"runner":"local","workers":2,"started":"2026-11-23T11:00:00.123Z"}` + "\n"

func TestReadResults(t *testing.T) {
	h := testHeader()
	in := string(h.Line()) +
		`{"t":"worker","worker":"gw0","startup_us":5,"collect_us":70,"floor":123,"pid":7,"imports_us":{"tests/test_a.py":60}}
{"t":"worker","worker":"gw0","imports_us":{"tests/test_b.py":61}}
{"t":"start","id":"tests/test_a.py::test_x[1]","worker":"gw0"}
{"t":"start","id":"tests/test_a.py::test_hangs","worker":"gw1"}
{"t":"start","id":"tests/test_a.py::test_hung","worker":"gw0"}
{"t":"test","id":"tests/test_a.py::test_x[1]","worker":"gw0","start_us":80,"outcome":"failed","setup_us":1,"call_us":2,"teardown_us":3,"wall_us":40,"fixtures":[["module tests/test_a.py::model",10,0],["session ::db",0,4]],"before":1,"peak":9,"after":5,"reruns":1,"message":"assert 1 == 2 \ud83d\ude00","path":"tests/test_a.py","line":12}
{"t":"missing","ids":["tests/test_a.py::gone","tests/test_a.py::gone2"]}
{"t":"extra","ids":["tests/test_a.py::new"]}
{"t":"broken","ids":["tests/test_b.py"]}
{"t":"note","text":"addopts has -x: switched off"}
{"t":"tail","worker":"gw0","tail_us":800}
` + string(EndLine(1, 12345*time.Microsecond))
	got, err := ReadResults(strings.NewReader(in), "r.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	us := time.Microsecond
	want := &Results{
		Name: "r.jsonl", Header: h,
		Tests: []TestResult{{
			ID: "tests/test_a.py::test_x[1]", Worker: "gw0", PID: 7, Start: 80 * us, Outcome: Failed, Setup: us, Call: 2 * us, Teardown: 3 * us, Wall: 40 * us,
			Fixtures: []FixtureResult{{"module tests/test_a.py::model", 10 * us, 0}, {"session ::db", 0, 4 * us}},
			Before:   1, Peak: 9, After: 5, Reruns: 1, Message: "assert 1 == 2 😀", Path: "tests/test_a.py", Line: 12,
		}},
		Running: []TestStart{{ID: "tests/test_a.py::test_hangs", Worker: "gw1"}, {ID: "tests/test_a.py::test_hung", Worker: "gw0", PID: 7, Before: 5}},
		Workers: []WorkerResult{{
			Worker: "gw0", PID: 7, Startup: 5 * us, Collect: 70 * us, Floor: 123, Tail: 800 * us,
			Imports: map[string]time.Duration{"tests/test_a.py": 60 * us, "tests/test_b.py": 61 * us},
		}},
		Missing: []NodeID{"tests/test_a.py::gone", "tests/test_a.py::gone2"},
		Extra:   []NodeID{"tests/test_a.py::new"},
		Broken:  []NodeID{"tests/test_b.py"},
		Notes:   []string{"addopts has -x: switched off"},
		Ended:   true, Exit: 1, Elapsed: 12345 * us,
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("ReadResults() =\n%+v, want\n%+v", got, want)
	}
}

// Other writers may tell more than milliseconds, which no history keeps.
func TestReadResultsStarted(t *testing.T) {
	got, err := ReadResults(strings.NewReader(strings.Replace(header, ".123Z", ".1239Z", 1)), "r")
	if err != nil {
		t.Fatal(err)
	}
	if want := testHeader().Started; got.Header.Started != want {
		t.Errorf("started %v, want %v", got.Header.Started, want)
	}
}

// Whatever a clock or a message says, the line can be read.
func TestLines(t *testing.T) {
	for _, c := range []struct{ got, want string }{
		{string(EndLine(0, -time.Second)), `{"t":"end","exit":0,"elapsed_us":0}` + "\n"},
		{string(NoteLine("a\xffb")), `{"t":"note","text":"a` + "\uFFFD" + `b"}` + "\n"},
	} {
		if c.got != c.want {
			t.Errorf("line %q, want %q", c.got, c.want)
		}
	}
}

// Samples stand between the starts and ends of the tests that they are of.
func TestReadResultsMemory(t *testing.T) {
	in := header + `{"t":"mem","at_us":1,"workers":{"main":[50,0],"gw0":[100,0],"gw1":[100,0]}}
{"t":"start","id":"a.py::measured","worker":"gw0"}
{"t":"start","id":"a.py::sampled","worker":"gw1"}
{"t":"mem","at_us":2,"workers":{"main":[60,0],"gw0":[300,0],"gw1":[400,40]}}
{"t":"mem","at_us":3,"workers":{"main":[60,0],"gw0":[200,70],"gw1":[150,30]}}
{"t":"test","id":"a.py::measured","worker":"gw0","outcome":"passed","before":110,"peak":310,"after":210,"children":60}
{"t":"test","id":"a.py::sampled","worker":"gw1","outcome":"crashed"}
{"t":"start","id":"a.py::quick","worker":"gw0"}
{"t":"test","id":"a.py::quick","worker":"gw0","outcome":"passed","before":210,"peak":210,"after":210,"children":5}
{"t":"start","id":"a.py::hangs","worker":"gw0"}
{"t":"mem","at_us":4,"workers":{"main":[70,0],"gw0":[500,75],"gw2":[100,0]}}
{"t":"mem","at_us":5,"workers":{"main":[70,0],"gw0":[450,10]}}
{"t":"mem","at_us":6,"workers":{"gw0":[450,30]}}
{"t":"mem","at_us":7,"workers":{"gw0":[4`
	got, err := ReadResults(strings.NewReader(in), "r")
	if err != nil {
		t.Fatal(err)
	}
	want := []TestResult{
		{ID: "a.py::measured", Worker: "gw0", Outcome: Passed, Before: 110, Peak: 310, After: 210, Children: 70},
		{ID: "a.py::sampled", Worker: "gw1", Outcome: Crashed, Before: 100, Peak: 400, After: 150, Children: 40, Sampled: true},
		{ID: "a.py::quick", Worker: "gw0", Outcome: Passed, Before: 210, Peak: 210, After: 210, Children: 5},
	}
	if !reflect.DeepEqual(got.Tests, want) {
		t.Errorf("tests\n%+v, want\n%+v", got.Tests, want)
	}
	// It found children of 70 and saw them go: the rise from 10 is its own.
	if want := []TestStart{{ID: "a.py::hangs", Worker: "gw0", Before: 210, Peak: 500, Children: 20}}; !reflect.DeepEqual(got.Running, want) {
		t.Errorf("running %+v, want %+v", got.Running, want)
	}
	us := time.Microsecond
	if want := []WorkerMemory{{"main", 5 * us, 70, 0}, {"gw0", 6 * us, 450, 30}, {"gw1", 3 * us, 150, 30}, {"gw2", 4 * us, 100, 0}}; !reflect.DeepEqual(got.Memory, want) {
		t.Errorf("memory %+v, want %+v", got.Memory, want)
	}
}

// What is seen of a worker is of the test that began last there; where the one before did
// not tell what it left, its floor is what this one finds.
func TestReadResultsMemoryOfOne(t *testing.T) {
	for _, c := range []struct {
		name  string
		lines []string
		want  []string
	}{
		{"two that have not ended", []string{startLine("x", "gw0"), startLine("y", "gw0"), `{"t":"mem","at_us":1,"workers":{"gw0":[900,0]}}`},
			[]string{"x 0 0", "y 0 900"}},
		{"after one that told nothing", []string{`{"t":"worker","worker":"gw0","floor":123}`, testLine("x", "gw0", Passed, 5, 0), startLine("y", "gw0")},
			[]string{"y 123 0"}},
	} {
		if _, running := readLines(t, c.lines...); !slices.Equal(running, c.want) {
			t.Errorf("%s: running %q, want %q", c.name, running, c.want)
		}
	}
}

func TestReadResultsErrors(t *testing.T) {
	test := `{"t":"test","id":"a.py::t","worker":"main","outcome":"passed"}` + "\n"
	for _, c := range []struct{ name, in, want string }{
		{"empty", "", `r: empty file, want a results header`},
		{"no header", test, `r:1: want a header {"wcshard":"results",…} in the first line`},
		{"garbage", "\x00\xff", `r:1: want a header {"wcshard":"results",…} in the first line`},
		{"torn header", header[:45], `r:1: column 46: unfinished string`},
		{"history", `{"wcshard":"timings","version":1}`, `r:1: this is a "timings" file of wcshard, want "results"`},
		{"newer", strings.Replace(header, `"version":1`, `"version":2,"x":[1]`, 1), `r:1: written by a newer wcshard (version 2, this one reads 1)`},
		{"version 0", strings.Replace(header, `"version":1`, `"version":0`, 1), `r:1: column 33: version 0, want at least 1`},
		{"no version", `{"wcshard":"results","plan":"x"}`, `r:1: column 29: want key "version", got "plan"`},
		{"missing key", strings.Replace(header, `"attempt":1,`, ``, 1), `r:1: column 153: key "attempt" is missing`},
		{"unknown header key", strings.Replace(header, `"attempt"`, `"Attempt"`, 1), `r:1: column 97: unknown key "Attempt"`},
		{"bad time", strings.Replace(header, `2026-11`, `2026-13`, 1), `r:1: column 164: bad time "2026-13-23T11:00:00.123Z", want one like "2006-01-02T15:04:05.000Z"`},
		{"before 1970", strings.Replace(header, `2026-11`, `1969-11`, 1), `r:1: column 164: bad time "1969-11-23T11:00:00.123Z", want one like "2006-01-02T15:04:05.000Z"`},
		{"no shards", strings.Replace(header, `["pool-1"]`, `[]`, 1), `r:1: column 78: no shards, want at least one`},
		{"a shard twice", strings.Replace(header, `["pool-1"]`, `["a","b","a"]`, 1), `r:1: column 89: shard "a" is twice there or has no name`},
		{"a shard without a name", strings.Replace(header, `["pool-1"]`, `[""]`, 1), `r:1: column 80: shard "" is twice there or has no name`},
		{"unknown line", header + `{"t":"tset"}` + "\n", `r:2: column 12: unknown line "tset"`},
		{"unknown key", header + test + `{"t":"start","id":"x","worker":"w","x":1}` + "\n", `r:3: column 40: unknown key "x"`},
		{"key twice", header + `{"t":"start","id":"x","id":"w"}` + "\n", `r:2: column 28: key "id" twice`},
		{"no worker", header + `{"t":"start","id":"x"}` + "\n", `r:2: column 23: key "worker" is missing`},
		{"t not first", header + `{"id":"x","t":"start","worker":"w"}` + "\n", `r:2: column 7: want key "t" first, got "id"`},
		{"outcome", header + strings.Replace(test, "passed", "PASSED", 1), `r:2: column 62: unknown outcome "PASSED"`},
		{"fraction", header + `{"t":"tail","worker":"w","tail_us":1.5}` + "\n", `r:2: column 37: want a whole number, got a fraction or exponent`},
		{"negative", header + `{"t":"tail","worker":"w","tail_us":-1}` + "\n", `r:2: column 38: negative number -1`},
		{"huge", header + `{"t":"tail","worker":"w","tail_us":99999999999999999999999}` + "\n", `r:2: column 53: number beyond 1000000000000000`},
		{"leading zero", header + `{"t":"tail","worker":"w","tail_us":07}` + "\n", `r:2: column 38: a number with a leading zero`},
		{"an import twice", header + `{"t":"worker","worker":"w","imports_us":{"a":1,"a":2}}` + "\n", `r:2: column 52: key "a" twice`},
		{"memory of nobody", header + `{"t":"mem","at_us":1}` + "\n", `r:2: column 22: key "workers" is missing`},
		{"memory that is none", header + `{"t":"mem","at_us":1,"workers":{"gw0":[1]}}` + "\n", `r:2: column 41: want ',', got ']'`},
		{"torn middle", header + test[:30] + "\n" + test, `r:2: column 31: unfinished string`},
		{"blank line", header + "\n" + test, `r:2: column 1: want '{', got the end of the line`},
		{"two values", header + strings.TrimSpace(test) + test, `r:2: column 63: unexpected '{' after the value`},
		{"after the end", header + string(EndLine(0, 0)) + test, `r:3: column 1: a line after the end`},
		{"half surrogate", header + `{"t":"note","text":"\ud83d"}` + "\n", `r:2: column 21: half a surrogate pair in a string`},
		{"bad UTF-8", header + "{\"t\":\"note\",\"text\":\"\xff\"}\n", `r:2: column 21: invalid UTF-8`},
		{"valid last line that we don't know", header + `{"t":"new"}`, `r:2: column 11: unknown line "new"`},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := ReadResults(strings.NewReader(c.in), "r")
			var syntax *SyntaxError
			if !errors.As(err, &syntax) || syntax.Error() != c.want {
				t.Errorf("ReadResults() = %v, want a syntax error %q", err, c.want)
			}
		})
	}
}

func TestReadResultsTornEnd(t *testing.T) {
	whole := header + `{"t":"start","id":"a.py::t","worker":"main"}` + "\n" + `{"t":"test","id":"a.py::t","worker":"main","outcome":"passed"}`
	for end := len(header); end <= len(whole); end++ {
		res, err := ReadResults(strings.NewReader(whole[:end]), "r")
		if err != nil {
			t.Fatalf("cut after %d bytes: %v", end, err)
		}
		last := whole[strings.LastIndexByte(whole[:end], '\n')+1 : end]
		if torn := last != "" && !strings.HasSuffix(last, "}"); torn != (len(res.Warnings) == 1) {
			t.Errorf("cut after %d bytes: warnings %v", end, res.Warnings)
		}
		if finished := end == len(whole); finished != (len(res.Tests) == 1) {
			t.Errorf("cut after %d bytes: tests %v", end, res.Tests)
		}
	}
	// A list that is cut has nothing in it: the tests after the cut would not be missing.
	res, err := ReadResults(strings.NewReader(header+`{"t":"missing","ids":["a.py::x","a.py::y"`), "r")
	if err != nil || len(res.Missing) > 0 || len(res.Warnings) != 1 {
		t.Errorf("of a torn line %q are missing, %v, %v, want none and a warning", res.Missing, res.Warnings, err)
	}
}

// A disk that fails is no end of the file: half of it would be taken for all.
func TestReadFails(t *testing.T) {
	disk := errors.New("disk")
	if _, err := ReadResults(io.MultiReader(strings.NewReader(header), iotest.ErrReader(disk)), "r"); !errors.Is(err, disk) {
		t.Errorf("ReadResults() = %v, want %v", err, disk)
	}
	head, _, _ := strings.Cut(bytesOf(t, FromResults(run("r", 1, passed("a.py::t", 1)))), "\n")
	if _, err := ReadHistory(io.MultiReader(strings.NewReader(head+"\n"), iotest.ErrReader(disk)), "h"); !errors.Is(err, disk) {
		t.Errorf("ReadHistory() = %v, want %v", err, disk)
	}
}

// readLines reads a results file with these lines. It returns its tests with their worker,
// outcome, reruns and children, and what runs still with its memory before and at its peak.
func readLines(t *testing.T, lines ...string) (tests, running []string) {
	t.Helper()
	got, err := ReadResults(strings.NewReader(header+strings.Join(lines, "\n")+"\n"), "r")
	if err != nil {
		t.Fatal(err)
	}
	for _, x := range got.Tests {
		tests = append(tests, fmt.Sprintf("%s %s %s %d %d", x.ID, x.Worker, x.Outcome, x.Reruns, x.Children))
	}
	for _, x := range got.Running {
		running = append(running, fmt.Sprintf("%s %d %d", x.ID, x.Before, x.Peak))
	}
	return tests, running
}

func startLine(id, worker string) string {
	return fmt.Sprintf(`{"t":"start","id":%q,"worker":%q}`, id, worker)
}

func againLine(id, worker string) string {
	return fmt.Sprintf(`{"t":"start","id":%q,"worker":%q,"again":true}`, id, worker)
}

func testLine(id, worker string, outcome Outcome, start, children int) string {
	return fmt.Sprintf(`{"t":"test","id":%q,"worker":%q,"outcome":%q,"start_us":%d,"children":%d}`, id, worker, outcome, start, children)
}

// What was killed runs again in another process of the same name, which holds what it
// holds: nothing that is known of the one that died is its.
func TestReadSecondProcess(t *testing.T) {
	const worker = `{"t":"worker","worker":"main","collect_us":%d,"pid":%d,"floor":%d,"imports_us":{"a.py":%[1]d}}` + "\n"
	const start = `{"t":"start","id":"a.py::%s","worker":"main"}` + "\n"
	const ran = `{"t":"test","id":"a.py::%s","worker":"main","outcome":"passed","wall_us":9,"before":%d,"peak":%d,"after":%d,"fixtures":[["import torch",5,0]]}` + "\n"
	in := header + fmt.Sprintf(worker, 7, 70, 1200*mib) + fmt.Sprintf(start, "first") + fmt.Sprintf(ran, "first", 1200*mib, 1300*mib, 1250*mib) +
		fmt.Sprintf(start, "big") + string(KilledTest{ID: "a.py::big", Worker: "main", Before: 1250 * mib, Held: 4000 * mib, Culprit: true}.Line()) +
		fmt.Sprintf(worker, 3, 71, 300*mib) + fmt.Sprintf(start, "big") + fmt.Sprintf(ran, "big", 300*mib, 4300*mib, 310*mib) +
		fmt.Sprintf(worker, 5, 72, 300*mib) + fmt.Sprintf(start, "light") + fmt.Sprintf(ran, "light", 800*mib, 800*mib, 800*mib) +
		`{"t":"tail","worker":"main","tail_us":8}` + "\n" + fmt.Sprintf(start, "rest")
	got, err := ReadResults(strings.NewReader(in), "f")
	if err != nil {
		t.Fatal(err)
	}
	us := time.Microsecond
	imports := func(took time.Duration) map[string]time.Duration { return map[string]time.Duration{"a.py": took} }
	if want := []WorkerResult{
		{Worker: "main", PID: 70, Collect: 7 * us, Floor: 1200 * mib, Imports: imports(7 * us)},
		{Worker: "main", PID: 71, Collect: 3 * us, Floor: 300 * mib, Imports: imports(3 * us)},
		{Worker: "main", PID: 72, Collect: 5 * us, Floor: 300 * mib, Imports: imports(5 * us), Tail: 8 * us},
	}; !reflect.DeepEqual(got.Workers, want) {
		t.Errorf("processes\n%+v, want\n%+v", got.Workers, want)
	}
	if len(got.Running) != 1 || got.Running[0].Before != 800*mib || got.Running[0].PID != 72 {
		t.Errorf("running %+v, want one test in the last process, which holds 800 MiB", got.Running)
	}
	h := FromResults(got)
	e := h.Estimator("local")
	for id, want := range map[NodeID]Need{
		"a.py::big":   {Low: 4000 * mib, High: 4000 * mib, Kept: 10 * mib, Died: 2750 * mib},
		"a.py::light": {High: 500 * mib},
	} {
		if got := e.Tests([]NodeID{id})[0].Need; got != want {
			t.Errorf("need of %s: %+v, want %+v", id, got, want)
		}
	}
	if late := e.LateImports(); len(late) != 1 || late[0].Every != 1 || e.Library("torch") != 5*us {
		t.Errorf("late imports %v of %v, want one by the first test of each process, of 5 µs", late, e.Library("torch"))
	}
}

// Where memory is only sampled, a new process has not what the one before it had; what
// was seen of it while it collected, it has.
func TestReadSecondProcessSampled(t *testing.T) {
	sample := func(at, resident int) string {
		return fmt.Sprintf(`{"t":"mem","at_us":%d,"workers":{"main":[%d,0]}}`+"\n", at, resident)
	}
	const worker, start = `{"t":"worker","worker":"main","pid":%d}` + "\n", `{"t":"start","id":"a.py::big","worker":"main"}` + "\n"
	for _, c := range []struct {
		name, collecting string
		before           int64
	}{
		{"seen while it collected", sample(1, 50), 50},
		{"not seen before its test", "", 0},
	} {
		in := header + fmt.Sprintf(worker, 69) + start + sample(10, 900) +
			string(KilledTest{ID: "a.py::big", Worker: "main"}.Line()) + // the next process collects unseen, and is seen at a time before
			fmt.Sprintf(worker, 70) + start + sample(9, 900) +
			string(KilledTest{ID: "a.py::big", Worker: "main"}.Line()) + c.collecting +
			fmt.Sprintf(worker, 71) + start + sample(20, 700) + `{"t":"test","id":"a.py::big","worker":"main","outcome":"passed"}` + "\n"
		got, err := ReadResults(strings.NewReader(in), "f")
		if err != nil {
			t.Fatal(err)
		}
		if big := got.Tests[0]; big.Before != c.before || big.Peak != 700 {
			t.Errorf("%s: %d before, %d at its peak, want %d and 700", c.name, big.Before, big.Peak, c.before)
		}
	}
}

// A plugin that runs a test again within its protocol, as flaky does, reports several
// ends of it: the last one counts, with all that was measured since the start.
func TestReadTries(t *testing.T) {
	const line = `{"t":"test","id":"a.py::%s","worker":"%s","outcome":"%s","start_us":%d,"call_us":7,"wall_us":%d,"before":%d,"peak":%d,"after":60}` + "\n"
	in := header
	for _, args := range [][]any{
		{"first", "gw0", "passed", 5, 10, 40, 90}, {"other", "gw1", "passed", 5, 10, 40, 50}, {"first", "gw0", "passed", 5, 20, 60, 70}, {"first", "gw0", "failed", 5, 30, 60, 80},
		{"first", "gw0", "passed", 6, 1, 60, 60}, // a namesake
		{"other", "gw0", "passed", 7, 1, 60, 60}, {"first", "gw0", "passed", 6, 1, 60, 60},
	} {
		in += fmt.Sprintf(line, args...)
	}
	got, err := ReadResults(strings.NewReader(in), "f")
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, x := range got.Tests {
		all = append(all, fmt.Sprint(x.ID, x.Worker, x.Outcome, x.Start.Microseconds(), x.Wall.Microseconds(), x.Before, x.Peak, x.Reruns))
	}
	want := []string{
		fmt.Sprint("a.py::other", "gw1", "passed", 5, 10, 40, 50, 0), fmt.Sprint("a.py::first", "gw0", "failed", 5, 30, 40, 90, 2),
		fmt.Sprint("a.py::first", "gw0", "passed", 6, 1, 60, 60, 0), fmt.Sprint("a.py::other", "gw0", "passed", 7, 1, 60, 60, 0),
		fmt.Sprint("a.py::first", "gw0", "passed", 6, 1, 60, 60, 0), // not in a row: it ran twice
	}
	if !slices.Equal(all, want) {
		t.Errorf("read\n%s\nwant\n%s", strings.Join(all, "\n"), strings.Join(want, "\n"))
	}
}

// Two results are tries of one test where one worker process had both, the one after the
// other, from the same start.
func TestReadOtherTries(t *testing.T) {
	worker := func(pid int) string { return fmt.Sprintf(`{"t":"worker","worker":"gw0","pid":%d}`, pid) }
	for _, c := range []struct {
		name          string
		lines         []string
		want, running []string
	}{
		{"no start is known", []string{testLine("x", "gw0", Passed, 0, 0), testLine("x", "gw0", Passed, 0, 0)},
			[]string{"x gw0 passed 0 0", "x gw0 passed 0 0"}, nil},
		{"two workers that both try again, children in the first try", []string{testLine("x", "gw0", Failed, 5, 70), testLine("y", "gw1", Failed, 5, 0),
			testLine("x", "gw0", Passed, 5, 7), testLine("y", "gw1", Passed, 5, 0)}, []string{"x gw0 passed 1 70", "y gw1 passed 1 0"}, nil},
		{"another test than the one that began again", []string{testLine("x", "gw0", Failed, 5, 0), againLine("x", "gw0"), testLine("y", "gw0", Passed, 7, 0)},
			[]string{"y gw0 passed 0 0"}, []string{"x 0 0"}},
		{"a new process", []string{worker(7), testLine("x", "gw0", Failed, 5, 0), againLine("x", "gw0"), worker(8), testLine("x", "gw0", Passed, 7, 0)},
			[]string{"x gw0 passed 0 0"}, nil},
	} {
		if tests, running := readLines(t, c.lines...); !slices.Equal(tests, c.want) || !slices.Equal(running, c.running) {
			t.Errorf("%s: %q, running %q, want %q, %q", c.name, tests, running, c.want, c.running)
		}
	}
}

// A test that has begun again within its protocol has no result: it may be killed, and
// what was reported of its try before says nothing.
func TestReadTriedAgain(t *testing.T) {
	const ran = `{"t":"test","id":"a.py::x","worker":"gw0","outcome":"%s","start_us":%d,"wall_us":9,"before":10,"peak":%d,"after":1}` + "\n"
	const start = `{"t":"start","id":"a.py::x","worker":"%s"%s}` + "\n"
	other := `{"t":"test","id":"a.py::y","worker":"gw1","outcome":"passed","start_us":1}` + "\n"
	first := header + fmt.Sprintf(start, "gw0", "") + fmt.Sprintf(ran, "passed", 5, 90) + other
	again := first + fmt.Sprintf(start, "gw0", `,"again":true`)
	for _, c := range []struct {
		name, text string
		want       []string // outcome, peak and reruns of x
		running    int
	}{
		{"killed in its second try", again, nil, 1},
		{"a crash", again + `{"t":"test","id":"a.py::x","worker":"gw0","outcome":"crashed"}` + "\n", []string{"crashed 90 1"}, 0},
		{"done", again + fmt.Sprintf(ran, "failed", 5, 50), []string{"failed 90 1"}, 0},
		{"a namesake", first + fmt.Sprintf(start, "gw0", ""), []string{"passed 90 0"}, 1},
		{"a namesake that is done", first + fmt.Sprintf(start, "gw0", "") + fmt.Sprintf(ran, "failed", 6, 50), []string{"passed 90 0", "failed 50 0"}, 0},
		{"another worker's", first + fmt.Sprintf(start, "gw1", `,"again":true`), []string{"passed 90 0"}, 1},
	} {
		got, err := ReadResults(strings.NewReader(c.text), "f")
		if err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		var all []string
		for _, x := range got.Tests {
			if x.ID == "a.py::x" {
				all = append(all, fmt.Sprintf("%s %d %d", x.Outcome, x.Peak, x.Reruns))
			}
		}
		if !slices.Equal(all, c.want) || len(got.Running) != c.running || len(got.Tests) != len(c.want)+1 {
			t.Errorf("%s: %q of %d results, %d running, want %q, and one more, %d running", c.name, all, len(got.Tests), len(got.Running), c.want, c.running)
		}
	}
}
