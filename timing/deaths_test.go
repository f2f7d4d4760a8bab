package timing

import (
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestReadRepeatedCrash: a plugin repeats a test that killed its worker; until
// its next start, it is among those that have not ended.
func TestReadRepeatedCrash(t *testing.T) {
	lines := []string{
		`{"t":"start","id":"a.py::bad","worker":"gw0"}`,
		`{"t":"down","worker":"gw0","signal":9}`,
		`{"t":"start","id":"a.py::other","worker":"gw1"}`,
		`{"t":"down","worker":"gw1","signal":9}`,
		`{"t":"test","id":"a.py::other","worker":"gw1","outcome":"crashed"}`,
		`{"t":"start","id":"a.py::bad","worker":"gw2"}`,
		`{"t":"test","id":"a.py::bad","worker":"gw2","outcome":"passed","reruns":1}`,
	}
	running := []string{"gw0", "gw0", "gw0 gw1", "gw0 gw1", "gw0", "gw2", ""}
	for n := range lines {
		got, err := ReadResults(strings.NewReader(header+strings.Join(lines[:n+1], "\n")+"\n"), "r.jsonl")
		if err != nil {
			t.Fatal(err)
		}
		var workers []string
		for _, r := range got.Running {
			workers = append(workers, r.Worker)
		}
		if now := strings.Join(workers, " "); now != running[n] {
			t.Errorf("after %s: tests run on %q, want %q", lines[n], now, running[n])
		}
		for _, d := range got.Deaths {
			if len(d.Running) != 1 || d.Running[0].Worker != d.Worker {
				t.Errorf("when %s died, %v ran, want its own test", d.Worker, d.Running)
			}
		}
	}
}

// When a second worker dies, what it ran is told, and not what the first one did.
func TestReadTwoDeaths(t *testing.T) {
	in := header + strings.Join([]string{startLine("x", "gw0"), startLine("y", "gw1"), `{"t":"down","worker":"gw0"}`, `{"t":"down","worker":"gw1"}`}, "\n") + "\n"
	got, err := ReadResults(strings.NewReader(in), "r")
	if err != nil {
		t.Fatal(err)
	}
	if want := []TestStart{{ID: "y", Worker: "gw1"}}; len(got.Deaths) != 2 || !reflect.DeepEqual(got.Deaths[1].Running, want) {
		t.Errorf("deaths %+v, want the second one while %+v ran", got.Deaths, want)
	}
}

// What was killed is taken back once it has run alone, and nothing else is: neither
// another worker's test of its ID nor what is no pass.
func TestReadKilled(t *testing.T) {
	killed := strings.TrimSpace(string(KilledTest{ID: "x", Worker: "gw0", Before: 1, Held: 9}.Line()))
	for _, c := range []struct {
		name  string
		lines []string
		want  []string
	}{
		{"with its worker: it runs no more", []string{startLine("x", "gw0"), `{"t":"down","worker":"gw0","signal":9}`, killed}, nil},
		{"one try is taken back once", []string{killed, testLine("x", "main", Crashed, 1, 0), testLine("x", "gw1", Passed, 2, 0)},
			[]string{"x main crashed 0 0", "x gw1 passed 0 0"}},
		{"a namesake's pass is no crash", []string{testLine("x", "gw1", Passed, 1, 0), killed, testLine("x", "main", Passed, 2, 0)},
			[]string{"x gw1 passed 0 0", "x main passed after running alone 0 0"}},
		{"a skip stays one", []string{killed, testLine("x", "main", Skipped, 1, 0)}, []string{"x main skipped 0 0"}},
		{"two tries alone", []string{killed, testLine("x", "main", Passed, 1, 0), testLine("x", "main", Passed, 1, 0)},
			[]string{"x main passed after running alone 1 0"}},
	} {
		if tests, running := readLines(t, c.lines...); !slices.Equal(tests, c.want) || len(running) > 0 {
			t.Errorf("%s: %q, running %q, want %q, none", c.name, tests, running, c.want)
		}
	}
}

// TestReadDeaths: a worker dies, its test runs again alone, and is one test.
func TestReadDeaths(t *testing.T) {
	in := header + `{"t":"worker","worker":"gw0","floor":100,"pid":7}
{"t":"worker","worker":"gw1","floor":90,"pid":8}
{"t":"start","id":"a.py::light","worker":"gw0"}
{"t":"test","id":"a.py::light","worker":"gw0","outcome":"passed","before":100,"peak":120,"after":110}
{"t":"start","id":"a.py::big","worker":"gw0"}
{"t":"start","id":"a.py::small","worker":"gw1"}
{"t":"mem","at_us":3,"workers":{"gw0":[900,5],"gw1":[95,0]}}
{"t":"down","worker":"gw0","signal":9}
{"t":"test","id":"a.py::big","worker":"gw0","outcome":"crashed","message":"worker 'gw0' crashed"}
{"t":"test","id":"a.py::small","worker":"gw1","outcome":"passed"}
{"t":"start","id":"a.py::last","worker":"gw1"}
{"t":"end","exit":1,"elapsed_us":50}
`
	killed := []KilledTest{
		{ID: "a.py::big", Worker: "gw0", PID: 7, Before: 110, Held: 905, Culprit: true},
		{ID: "a.py::last", Worker: "gw1", PID: 8, Before: 90, Held: 0},
	}
	read := func(text string) *Results {
		t.Helper()
		got, err := ReadResults(strings.NewReader(text), "r.jsonl")
		if err != nil {
			t.Fatal(err)
		}
		return got
	}
	got := read(in)
	deaths := []Death{{Worker: "gw0", PID: 7, Signal: 9, Running: []TestStart{
		{ID: "a.py::big", Worker: "gw0", PID: 7, Before: 110, Peak: 900, Children: 5},
		{ID: "a.py::small", Worker: "gw1", PID: 8, Before: 90, Peak: 95},
	}}}
	if !reflect.DeepEqual(got.Deaths, deaths) {
		t.Errorf("deaths\n%+v, want\n%+v", got.Deaths, deaths)
	}
	outcomes := func(r *Results) map[NodeID][]Outcome {
		all := map[NodeID][]Outcome{}
		for _, test := range r.Tests {
			all[test.ID] = append(all[test.ID], test.Outcome)
		}
		return all
	}
	again := strings.TrimSuffix(in, string(EndLine(1, 50*time.Microsecond))) + string(killed[0].Line()) + string(killed[1].Line())
	// Nothing has run again yet: the crash stands.
	got = read(again)
	if !reflect.DeepEqual(got.Killed, killed) || len(got.Running) != 0 {
		t.Errorf("killed %+v, want %+v; running %+v, want none", got.Killed, killed, got.Running)
	}
	if want := map[NodeID][]Outcome{"a.py::light": {Passed}, "a.py::big": {Crashed}, "a.py::small": {Passed}}; !reflect.DeepEqual(outcomes(got), want) {
		t.Errorf("before running again: %v, want %v", outcomes(got), want)
	}
	again += `{"t":"test","id":"a.py::big","worker":"main","outcome":"passed"}` + "\n" + string(CrashLine("a.py::last", "main", "killed")) + string(EndLine(1, time.Second))
	got = read(again)
	if want := map[NodeID][]Outcome{"a.py::light": {Passed}, "a.py::big": {PassedAlone}, "a.py::small": {Passed}, "a.py::last": {Crashed}}; !reflect.DeepEqual(outcomes(got), want) {
		t.Errorf("after running again: %v, want %v", outcomes(got), want)
	}

	// The history learns that big takes at least what it was seen to take.
	samples := FromResults(got).Samples("a.py::big")
	if len(samples) != 2 {
		t.Fatalf("samples of a killed test that ran again: %+v", samples)
	}
	for _, s := range samples {
		if s.Outcome == Crashed && (s.Peak != 905 || s.Rise != 795) || s.Outcome != Crashed && s.Outcome != Passed {
			t.Errorf("sample %+v, want a pass, and a crash with peak 905 and rise 795", s)
		}
	}
}
