package shard

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/wcshard/wcshard/timing"
)

// verdictPlan has shards pool-1 (a.py::1 a.py::2), pool-2 (b.py::1, twice
// c.py::1) and mem-m (m.py::1).
func verdictPlan(t testing.TB) *Plan {
	m := test("m.py::1", 1)
	m.Memory = true
	p := mustPack(t, Suite{Tests: []Test{
		test("a.py::1", 20), test("a.py::2", 20), test("b.py::1", 20), test("c.py::1", 10), test("c.py::1", 10), m,
	}}, Fleet{Shards: 2})
	if err := p.Write(io.Discard); err != nil {
		t.Fatal(err)
	}
	want := "pool-1 w1 40ms: a.py[1 2]\npool-2 w1 40ms: b.py[1] c.py[1 1]\nmem-m w1 1ms: m.py[1]\n"
	if got := show(p); got != want {
		t.Fatalf("the plan is\n%swant\n%s", got, want)
	}
	return p
}

// session is the results of some shards, whose tests, as "a.py::1" or
// "a.py::1 failed", all ended.
func session(p *Plan, attempt int, shards string, tests ...string) *timing.Results {
	r := &timing.Results{
		Name:   fmt.Sprintf("%s-%d.jsonl", strings.ReplaceAll(shards, ",", "+"), attempt),
		Header: timing.ResultsHeader{Plan: p.Digest, Run: "7", Shards: strings.Split(shards, ","), Attempt: attempt, Runner: "local", Workers: 1, Started: time.Unix(int64(attempt), 0)},
		Ended:  true, Elapsed: time.Second,
	}
	for _, x := range tests {
		id, outcome, _ := strings.Cut(x, " ")
		if outcome == "" {
			outcome = "passed"
		}
		if timing.Outcome(outcome).Bad() {
			r.Exit = 1
		}
		r.Tests = append(r.Tests, timing.TestResult{ID: timing.NodeID(id), Worker: "main", Outcome: timing.Outcome(outcome), Peak: 7})
	}
	return r
}

func with(r *timing.Results, edit func(r *timing.Results)) *timing.Results {
	edit(r)
	return r
}

// tell is a verdict in short.
func tell(v *Verdict) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d of %d", v.Once, v.Planned)
	if v.Complete() {
		b.WriteString(" complete")
	}
	if v.Green() {
		b.WriteString(" green")
	}
	for _, x := range v.Missing {
		fmt.Fprintf(&b, "; missing %s of %s: %s", x.ID, x.Shard, x.Reason)
	}
	for _, x := range v.Doubled {
		fmt.Fprintf(&b, "; %s ran %d times in %v", x.ID, x.Times, x.Shards)
	}
	for _, x := range v.Unplanned {
		fmt.Fprintf(&b, "; unplanned %s of %s, ran %v", x.ID, x.Shard, x.Ran)
	}
	for _, x := range v.Earlier {
		fmt.Fprintf(&b, "; %s is of run %s, before %s", x.File, x.Run, v.Run)
	}
	for _, x := range v.Refused {
		fmt.Fprintf(&b, "; %s: %s", x.File, x.Reason)
	}
	for _, x := range v.Failures {
		fmt.Fprintf(&b, "; %s %s in %s", x.ID, x.Outcome, x.Shard)
	}
	for i := range v.Shards {
		if s := &v.Shards[i]; s.Reported && !s.Ended {
			fmt.Fprintf(&b, "; %s ended early running %v", s.Name, s.Running)
		}
	}
	return b.String()
}

func TestVerify(t *testing.T) {
	p := verdictPlan(t)
	one := func() *timing.Results { return session(p, 1, "pool-1", "a.py::1", "a.py::2") }
	two := func() *timing.Results { return session(p, 1, "pool-2", "b.py::1", "c.py::1", "c.py::1") }
	mem := func() *timing.Results { return session(p, 1, "mem-m", "m.py::1") }
	next := func(r *timing.Results) *timing.Results {
		return with(r, func(r *timing.Results) { r.Header.Run, r.Header.Started = "8", r.Header.Started.Add(time.Hour) })
	}
	for _, c := range []struct {
		name    string
		results []*timing.Results
		want    string
	}{
		{"all well", []*timing.Results{one(), two(), mem()}, "6 of 6 complete green"},
		{"one file for all", []*timing.Results{session(p, 1, "pool-1,pool-2,mem-m", "m.py::1", "a.py::1", "b.py::1", "a.py::2", "c.py::1", "c.py::1")}, "6 of 6 complete green"},
		{"a failure", []*timing.Results{one(), session(p, 1, "pool-2", "b.py::1 failed", "c.py::1", "c.py::1 error"), mem()},
			"6 of 6 complete; b.py::1 failed in pool-2; c.py::1 error in pool-2"},
		{"failures in the plan's order", []*timing.Results{one(), session(p, 1, "pool-2", "c.py::1 failed", "c.py::1", "b.py::1 failed"), mem()},
			"6 of 6 complete; b.py::1 failed in pool-2; c.py::1 failed in pool-2"},
		{"skips and expected failures are green", []*timing.Results{one(), session(p, 1, "pool-2", "b.py::1 skipped", "c.py::1 xfailed", "c.py::1 xpassed"), mem()}, "6 of 6 complete green"},
		{"no test failed, but the session did", []*timing.Results{one(), two(), with(mem(), func(r *timing.Results) { r.Exit = 1 })}, "6 of 6 complete"},
		{"nothing reported", nil, "0 of 6 green; missing a.py::1 of pool-1: not reported; missing a.py::2 of pool-1: not reported; missing b.py::1 of pool-2: not reported; missing c.py::1 of pool-2: not reported; missing c.py::1 of pool-2: not reported; missing m.py::1 of mem-m: not reported"},
		{"a test left out", []*timing.Results{session(p, 1, "pool-1", "a.py::1"), two(), mem()}, "5 of 6 green; missing a.py::2 of pool-1: not run"},
		{"one of two with the same ID", []*timing.Results{one(), session(p, 1, "pool-2", "b.py::1", "c.py::1"), mem()}, "5 of 6 green; missing c.py::1 of pool-2: not run"},
		{"ended early", []*timing.Results{one(), with(session(p, 1, "pool-2", "b.py::1"), func(r *timing.Results) {
			r.Ended = false
			r.Running = []timing.TestStart{{ID: "c.py::1", Worker: "main"}}
		}), with(session(p, 1, "mem-m"), func(r *timing.Results) { r.Ended = false })},
			"3 of 6 green; missing c.py::1 of pool-2: was running; missing c.py::1 of pool-2: was running; missing m.py::1 of mem-m: not reached; pool-2 ended early running [c.py::1]; mem-m ended early running []"},
		{"ended early after an error", []*timing.Results{one(), with(session(p, 1, "pool-2", "b.py::1", "c.py::1 error", "c.py::1"), func(r *timing.Results) { r.Ended = false }), mem()},
			"6 of 6; c.py::1 error in pool-2; pool-2 ended early running []"},
		{"ended early after its last test", []*timing.Results{one(), two(), with(mem(), func(r *timing.Results) { r.Ended = false })}, "6 of 6 green; mem-m ended early running []"},
		{"interrupted", []*timing.Results{one(), two(), with(session(p, 1, "mem-m"), func(r *timing.Results) { r.Exit = 2 })}, "5 of 6; missing m.py::1 of mem-m: not reached"},
		{"killed, and not run again", []*timing.Results{one(), two(), with(session(p, 1, "mem-m"), func(r *timing.Results) { r.Killed = []timing.KilledTest{{ID: "m.py::1"}} })},
			"5 of 6 green; missing m.py::1 of mem-m: was running"},
		{"not found", []*timing.Results{one(), two(), with(session(p, 1, "mem-m"), func(r *timing.Results) { r.Missing = []timing.NodeID{"m.py::1"} })}, "5 of 6 green; missing m.py::1 of mem-m: not found"},
		{"ran twice in its shard", []*timing.Results{one(), two(), session(p, 1, "mem-m", "m.py::1", "m.py::1")}, "5 of 6 green; m.py::1 ran 2 times in [mem-m]"},
		{"ran in another shard too", []*timing.Results{one(), two(), session(p, 1, "mem-m", "m.py::1", "a.py::2")}, "5 of 6 green; a.py::2 ran 2 times in [pool-1 mem-m]"},
		{"a failure of a doubled test shows", []*timing.Results{one(), two(), session(p, 1, "mem-m", "m.py::1 failed", "m.py::1")}, "5 of 6; m.py::1 ran 2 times in [mem-m]; m.py::1 failed in mem-m"},
		{"unplanned", []*timing.Results{
			with(one(), func(r *timing.Results) { r.Extra = []timing.NodeID{"a.py::9", "a.py::8"} }),
			with(two(), func(r *timing.Results) { r.Extra = []timing.NodeID{"a.py::9"} }),
			session(p, 1, "mem-m", "m.py::1", "a.py::8"),
		}, "6 of 6 green; unplanned a.py::8 of mem-m, ran true; unplanned a.py::9 of pool-1, ran false"},
		{"a planned test of another shard is not unplanned", []*timing.Results{with(one(), func(r *timing.Results) { r.Extra = []timing.NodeID{"a.py::2", "b.py::1"} }), two(), mem()}, "6 of 6 complete green"},
		{"a shard without results whose test another one ran", []*timing.Results{session(p, 1, "pool-1", "a.py::1", "a.py::2", "m.py::1"), two()}, "6 of 6 green"},
		{"the newest attempt counts", []*timing.Results{session(p, 2, "pool-1", "a.py::1", "a.py::2"), with(session(p, 1, "pool-1", "a.py::1 failed", "a.py::2"), func(r *timing.Results) {}), two(), mem()}, "6 of 6 complete green"},
		{"also when it is worse", []*timing.Results{one(), session(p, 2, "pool-1", "a.py::1"), two(), mem()}, "5 of 6 green; missing a.py::2 of pool-1: not run"},
		{"a shard of a common file run again", []*timing.Results{
			session(p, 1, "pool-1,pool-2,mem-m", "a.py::1 failed", "a.py::2", "b.py::1", "c.py::1", "c.py::1", "m.py::1"),
			session(p, 2, "pool-1", "a.py::1", "a.py::2"),
		}, "6 of 6 complete green"},
		{"of which no test had failed, but the session", []*timing.Results{
			with(session(p, 1, "pool-1,pool-2,mem-m", "a.py::1", "a.py::2", "b.py::1", "c.py::1", "c.py::1", "m.py::1"), func(r *timing.Results) { r.Exit = 1 }),
			session(p, 2, "pool-1", "a.py::1", "a.py::2"),
		}, "6 of 6 complete"},
		{"of which one had, in a session with an internal error", []*timing.Results{
			with(session(p, 1, "pool-1,pool-2,mem-m", "a.py::1 failed", "a.py::2", "b.py::1", "c.py::1", "c.py::1", "m.py::1"), func(r *timing.Results) { r.Exit = 3 }),
			session(p, 2, "pool-1", "a.py::1", "a.py::2"),
		}, "6 of 6 complete"},
		{"what is unplanned belongs to the shards with its file", []*timing.Results{
			with(session(p, 1, "pool-2,pool-1,mem-m", "a.py::1", "a.py::2", "a.py::8 failed", "b.py::1", "c.py::1", "c.py::1", "m.py::1"), func(r *timing.Results) {
				r.Extra = []timing.NodeID{"a.py::t[in another order than planned]", "m.py::9", "z.py::1"}
			}),
		}, "6 of 6; unplanned a.py::8 of pool-1, ran true; unplanned a.py::t[in another order than planned] of pool-1, ran false; unplanned m.py::9 of mem-m, ran false; unplanned z.py::1 of pool-2, ran false"},
		{"and is gone with them", []*timing.Results{
			with(session(p, 1, "pool-2,pool-1,mem-m", "a.py::1", "a.py::2", "a.py::8 failed", "b.py::1", "c.py::1", "c.py::1", "m.py::1"), func(r *timing.Results) {
				r.Extra = []timing.NodeID{"a.py::t[in another order than planned]"}
			}),
			session(p, 2, "pool-1", "a.py::1", "a.py::2"),
		}, "6 of 6 complete green"},
		{"another plan", []*timing.Results{one(), two(), with(mem(), func(r *timing.Results) { r.Header.Plan = "sha256:00" })},
			"5 of 6 green; missing m.py::1 of mem-m: not reported; mem-m-1.jsonl: it is of plan sha256:00, want " + p.Digest},
		{"an unknown shard", []*timing.Results{one(), two(), mem(), session(p, 1, "pool-9")}, `6 of 6 green; pool-9-1.jsonl: the plan has no shard "pool-9"`},
		{"two different files of one attempt", []*timing.Results{one(), two(), mem(), with(session(p, 1, "mem-m"), func(r *timing.Results) { r.Name = "z.jsonl" })},
			"6 of 6 green; z.jsonl: attempt 1 of shard mem-m is also in mem-m-1.jsonl, with other results"},
		{"a file of two shards, one of which another has", []*timing.Results{mem(), with(two(), func(r *timing.Results) { r.Name = "a.jsonl" }), session(p, 1, "pool-1,pool-2", "a.py::1", "a.py::2", "b.py::1")},
			"4 of 6 green; missing a.py::1 of pool-1: not reported; missing a.py::2 of pool-1: not reported; pool-1+pool-2-1.jsonl: attempt 1 of shard pool-2 is also in a.jsonl, with other results"},
		{"a run before that came to a later attempt", []*timing.Results{
			session(p, 1, "pool-1", "a.py::1 failed", "a.py::2"), session(p, 2, "pool-1", "a.py::1", "a.py::2"),
			next(session(p, 1, "pool-1", "a.py::1 failed", "a.py::2")), next(two()), next(mem()),
		}, "6 of 6 complete; pool-1-2.jsonl is of run 7, before 8; pool-1-1.jsonl is of run 7, before 8; a.py::1 failed in pool-1"},
		{"a run before that has what the newest has not", []*timing.Results{one(), two(), mem(), next(one()), next(mem())},
			"3 of 6 green; missing b.py::1 of pool-2: not reported; missing c.py::1 of pool-2: not reported; missing c.py::1 of pool-2: not reported; mem-m-1.jsonl is of run 7, before 8; pool-1-1.jsonl is of run 7, before 8; pool-2-1.jsonl is of run 7, before 8"},
		{"one file twice", []*timing.Results{one(), two(), mem(), mem(), with(mem(), func(r *timing.Results) { r.Name = "copy/mem-m-1.jsonl" })}, "6 of 6 complete green"},
	} {
		t.Run(c.name, func(t *testing.T) {
			v := Verify(p, c.results)
			if got := tell(v); got != c.want {
				t.Errorf("the verdict is\n%s\nwant\n%s", got, c.want)
			}
			rand.New(rand.NewPCG(1, 1)).Shuffle(len(c.results), func(i, j int) { c.results[i], c.results[j] = c.results[j], c.results[i] })
			if w := Verify(p, c.results); !reflect.DeepEqual(v, w) {
				t.Errorf("with results in another order the verdict is\n%s\nwant\n%s", tell(w), tell(v))
			}
		})
	}
}

// Of two files that differ, though nothing says which came first, the same one counts
// whichever is read first.
func TestVerifySameClaim(t *testing.T) {
	p := verdictPlan(t)
	one := session(p, 1, "pool-1", "a.py::1", "a.py::2")
	fewer := session(p, 1, "pool-1", "a.py::1")
	if a, b := tell(Verify(p, []*timing.Results{one, fewer})), tell(Verify(p, []*timing.Results{fewer, one})); a != b {
		t.Errorf("the verdict is\n%s\nand with the other one first\n%s", a, b)
	}
}

// Results of another plan do not make their run the newest.
func TestNewestRun(t *testing.T) {
	p := verdictPlan(t)
	other := with(session(p, 1, "pool-1", "a.py::1"), func(r *timing.Results) {
		r.Header.Plan, r.Header.Run, r.Header.Started = "x", "9", time.Unix(99, 0)
	})
	if got := NewestRun(p, []*timing.Results{session(p, 1, "pool-1", "a.py::1"), other}); got != "7" {
		t.Errorf("NewestRun() = %s, want 7", got)
	}
}

// A session of several shards ends with 1 for all of them: it says something of those
// whose tests failed, or of all where no test did.
func TestVerifyTogetherExit(t *testing.T) {
	p := verdictPlan(t)
	for _, c := range []struct {
		failed string // a test
		want   map[string]int
	}{
		{"b.py::1", map[string]int{"pool-1": 0, "pool-2": 1, "mem-m": 0}},
		{"", map[string]int{"pool-1": 1, "pool-2": 1, "mem-m": 1}}, // too little coverage, for example
	} {
		r := &timing.Results{Name: "all", Ended: true, Exit: 1, Header: timing.ResultsHeader{Plan: p.Digest, Attempt: 1, Workers: 1}}
		for i := range p.Shards {
			r.Header.Shards = append(r.Header.Shards, p.Shards[i].Name)
			for _, id := range p.Shards[i].IDs() {
				outcome := timing.Passed
				if string(id) == c.failed {
					outcome = timing.Failed
				}
				r.Tests = append(r.Tests, timing.TestResult{ID: id, Worker: "main", Outcome: outcome})
			}
		}
		v := Verify(p, []*timing.Results{r})
		got := map[string]int{}
		for _, s := range v.Shards {
			got[s.Name] = s.Exit
		}
		if !reflect.DeepEqual(got, c.want) || v.Green() || !v.Complete() {
			t.Errorf("with %q failed the shards exited with %v, green %t, complete %t, want %v, not green, complete", c.failed, got, v.Green(), v.Complete(), c.want)
		}
	}
}

func TestVerdictJSON(t *testing.T) {
	p := verdictPlan(t)
	failed := session(p, 1, "pool-1", "a.py::1 failed", "a.py::2")
	failed.Tests[0].Message, failed.Tests[0].Path, failed.Tests[0].Line = "assert 1 == 2", "a.py", 12
	failed.Tests[1].Worker, failed.Header.Workers = "gw1", 2
	failed.Warnings = []error{errors.New("pool-1-1.jsonl:9: torn")}
	v := Verify(p, []*timing.Results{failed, session(p, 3, "pool-2,mem-m", "b.py::1", "c.py::1", "m.py::1")})
	v.Plan = "sha256:…"
	text, err := json.MarshalIndent(v, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "testdata/verdict.json", append(text, '\n'))
}

// TestVerifyKilled: a killed try is shown beside what came of its test, and is
// no second run.
func TestVerifyKilled(t *testing.T) {
	p := verdictPlan(t)
	killed := func(r *timing.Results) {
		r.Killed = []timing.KilledTest{
			{ID: "b.py::1", Worker: "gw0", Held: 900, Culprit: true},
			{ID: "a.py::2", Worker: "gw1", Held: 50},
		}
	}
	other := session(p, 1, "pool-2,mem-m", "b.py::1", "c.py::1", "c.py::1", "m.py::1")
	for _, test := range []struct {
		name            string
		results         *timing.Results
		killed          string
		complete, green bool
	}{
		{"ran again", with(session(p, 1, "pool-1,pool-2,mem-m", "a.py::1", "a.py::2 passed after running alone", "b.py::1 passed after running alone", "c.py::1", "c.py::1", "m.py::1"), killed),
			"[{a.py::2 pool-1 50 false passed after running alone} {b.py::1 pool-2 900 true passed after running alone}]", true, true},
		{"died again", with(session(p, 1, "pool-1,pool-2,mem-m", "a.py::1", "a.py::2 crashed", "b.py::1 passed after running alone", "c.py::1", "c.py::1", "m.py::1"), killed),
			"[{a.py::2 pool-1 50 false crashed} {b.py::1 pool-2 900 true passed after running alone}]", true, false},
		{"did not run again", with(session(p, 1, "pool-1,pool-2,mem-m", "a.py::1", "b.py::1 passed after running alone", "c.py::1", "c.py::1", "m.py::1"), killed),
			"[{a.py::2 pool-1 50 false } {b.py::1 pool-2 900 true passed after running alone}]", false, true},
	} {
		v := Verify(p, []*timing.Results{test.results})
		if got := fmt.Sprint(v.Killed); got != test.killed {
			t.Errorf("%s: killed %s, want %s", test.name, got, test.killed)
		}
		if v.Complete() != test.complete || v.Green() != test.green || len(v.Doubled) > 0 {
			t.Errorf("%s: complete %v, green %v, want %v, %v; doubled %v", test.name, v.Complete(), v.Green(), test.complete, test.green, v.Doubled)
		}
	}
	// What a later attempt ran again no longer counts in the first, nor do its kills.
	first := with(session(p, 1, "pool-1", "a.py::1", "a.py::2 passed after running alone"), killed)
	if v := Verify(p, []*timing.Results{first, other, session(p, 2, "pool-1", "a.py::1", "a.py::2")}); len(v.Killed) != 0 || !v.Complete() {
		t.Errorf("an attempt that does not count has kills: %v", v.Killed)
	}
}

// TestVerifyPeak: a worker and the one in its place never were at once.
func TestVerifyPeak(t *testing.T) {
	p := verdictPlan(t)
	r := session(p, 1, "pool-2", "b.py::1", "c.py::1", "c.py::1")
	r.Header.Workers = 2
	for i, worker := range []string{"gw0", "gw1", "gw2"} {
		r.Tests[i].Worker, r.Tests[i].Peak = worker, int64(100*(i+1))
	}
	if got := Verify(p, []*timing.Results{r}).Shards[1].Peak; got != 500 {
		t.Errorf("the peak is %d, want the 200 and 300 of the two highest", got)
	} // Nobody says how many workers there were.
	r.Header.Workers = 0
	if got := Verify(p, []*timing.Results{r}).Shards[1].Peak; got != 600 {
		t.Errorf("of an unknown number of workers the peak is %d, want the 600 of all", got)
	}
	r.Header.Workers = 1
	for i, peak := range []int64{300, 100, 200} {
		r.Tests[i].Worker, r.Tests[i].Peak = "main", peak
	}
	if got := Verify(p, []*timing.Results{r}).Shards[1].Peak; got != 300 {
		t.Errorf("the peak of one worker is %d, want its highest, 300", got)
	}
}

// A test that was running when its shard ended early held what its child processes did.
func TestVerifyHeld(t *testing.T) {
	p := verdictPlan(t)
	r := session(p, 1, "pool-1", "a.py::1")
	r.Ended, r.Running = false, []timing.TestStart{{ID: "a.py::2", Peak: 5, Children: 2}}
	if got := Verify(p, []*timing.Results{r}).Shards[0].Held; !slices.Equal(got, []int64{7}) {
		t.Errorf("%d bytes were held, want 7", got)
	}
}

// What could not be imported is a file, or the conftest.py of a folder of it.
func TestFileOf(t *testing.T) {
	broken := map[string]bool{"a/test_x.py": true, "b": true, "/c": true}
	for id, want := range map[timing.NodeID]bool{
		"a/test_x.py::t": true, "a/test_y.py::t": false, "b/deep/test_x.py::t": true, "bb/test_x.py::t": false,
		"test_x.py::t": false, "/c/test_x.py::t": true, "/d/test_x.py::t": false, "": false,
	} {
		if got := fileOf(broken, id); got != want {
			t.Errorf("fileOf(%q) = %v, want %v", id, got, want)
		}
	}
}
