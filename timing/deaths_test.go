package timing

import (
	"reflect"
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
