package timing

import (
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// jobRun makes the results of a job with so many workers on 2 cores, each with
// two tests in turn that take ms milliseconds each: it took real and was
// predicted to take predicted milliseconds.
func jobRun(name string, started int64, workers int, real, predicted, ms int) *Results {
	r := &Results{Header: ResultsHeader{
		Run: name, Runner: "linux", Started: time.UnixMilli(started).UTC(), Workers: workers, CPUs: 2,
		Tests: 2 * workers, Predicted: time.Duration(predicted) * time.Millisecond,
	}}
	took := time.Duration(ms) * time.Millisecond
	for w := range workers {
		worker := "main"
		if workers > 1 {
			worker = fmt.Sprint("gw", w)
		}
		for k := range 2 {
			id := NodeID(fmt.Sprintf("a.py::t%d", 2*w+k))
			r.Tests = append(r.Tests, TestResult{ID: id, Worker: worker, Outcome: Passed, Start: time.Second + time.Duration(k)*took, Call: took, Wall: took})
		}
		r.Workers = append(r.Workers, WorkerResult{Worker: worker, Startup: 400 * time.Millisecond, Collect: 500 * time.Millisecond})
	}
	r.Ended, r.Elapsed = true, time.Duration(real)*time.Millisecond
	return r
}

func TestJobID(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := Place{rapid.String().Draw(t, "runner"), rapid.IntRange(1, 5000).Draw(t, "workers"), rapid.IntRange(0, 5000).Draw(t, "cpus")}
		if got, ok := parseJobID(jobID(want)); !ok || got != want {
			t.Fatalf("parseJobID(%q) = %+v, %v", jobID(want), got, ok)
		}
	})
	for _, id := range []string{"", "2/4", "0/4 linux", "x/4 linux", "2/ linux", "02/4 linux", "2 linux", "-1/4 linux"} {
		if p, ok := parseJobID(id); ok {
			t.Errorf("parseJobID(%q) = %+v", id, p)
		}
	}
}

// The file format of what is learned of jobs.
func TestHistoryJobs(t *testing.T) {
	r := jobRun("gh-1", 1700000000000, 1, 1300, 1200, 100)
	r.Header.SetUp = 7 * time.Second
	r.Tests[1].Start += 40 * time.Millisecond // a wait
	h := FromResults(r)
	h.Merge(FromJobs(JobOverhead{r, 21 * time.Second, 4 * time.Second}))
	file := bytesOf(t, h)
	for _, line := range []string{
		`{"kind":"job","id":"1/2 linux","s":[[0,0,1300000,240000,200000,1200000]]}`,
		`{"kind":"overhead","id":"linux","s":[[0,0,0,21000000,4000000],[0,0,7000000]]}`,
	} {
		if !strings.Contains(file, line+"\n") {
			t.Errorf("the history is\n%swant a line %s", file, line)
		}
	}
	if again := bytesOf(t, reread(t, file)); again != file {
		t.Errorf("read again it is\n%swas\n%s", again, file)
	}
	for _, c := range []struct {
		h      *History
		runner string
		want   Overhead
	}{
		{h, "linux", Overhead{Jobs: 1, Took: 23 * time.Second, Queued: 4 * time.Second}},
		{FromResults(r), "linux", Overhead{Jobs: 1, Took: 16 * time.Second}},
		{h, "mac", Overhead{}},
	} {
		if got := c.h.Estimator(c.runner).Overhead(25 * time.Second); got != c.want {
			t.Errorf("Overhead() of %s = %+v, want %+v", c.runner, got, c.want)
		}
	}
	if !h.KnowsJobs("gh-1") || h.KnowsJobs("gh-2") || FromResults(r).KnowsJobs("gh-1") {
		t.Error("KnowsJobs() is wrong about a run")
	}
	large := jobRun("gh-1", 1700000000001, 1, 1300, 1200, 100)
	large.Header.Runner = "large"
	h.Merge(FromResults(large))
	if h.KnowsJobs("gh-1") {
		t.Error("KnowsJobs() of a run of which one of two classes was seen")
	}
	if h.Merge(FromJobs(JobOverhead{large, time.Second, 0})); !h.KnowsJobs("gh-1") {
		t.Error("KnowsJobs() knows not of a run of which both classes were seen")
	}
}

// What a job that did not run all its tests, or not in order, says of
// predictions: nothing.
func TestJobThatTellsNothing(t *testing.T) {
	for name, change := range map[string]func(r *Results){
		"not ended":    func(r *Results) { r.Ended = false },
		"interrupted":  func(r *Results) { r.Exit = 2 },
		"a test less":  func(r *Results) { r.Tests = r.Tests[1:] },
		"a death":      func(r *Results) { r.Deaths = append(r.Deaths, Death{}) },
		"killed":       func(r *Results) { r.Killed = append(r.Killed, KilledTest{}) },
		"a guess":      func(r *Results) { r.Header.Predicted = 0 },
		"older writer": func(r *Results) { r.Header.CPUs = 0 },
	} {
		var all []*Results
		for k := range int64(5) {
			r := jobRun("r", k, 1, 1300, 1200, 100)
			change(r)
			all = append(all, r)
		}
		if a := FromResults(all...).Estimator("linux").Accuracy(); a.Known() {
			t.Errorf("%s: %+v", name, a)
		}
	}
}

func TestAccuracy(t *testing.T) {
	h := &History{}
	for k, real := range []int{1000, 1100, 900, 1000, 1000, 1250, 1000, 1000, 1000, 800} {
		if a := h.Estimator("linux").Accuracy(); a.Known() != (k >= 3) || a.Jobs != 0 && a.Jobs != k {
			t.Errorf("after %d jobs: %+v", k, a)
		}
		h.Merge(FromResults(jobRun(fmt.Sprint("r", k), int64(k), 1, real, 1000, 100)))
	}
	a := h.Estimator("linux").Accuracy()
	if want := (Accuracy{Jobs: 10, Median: 0, Ninth: 200, Runs: 10, Over: 100}); a != want {
		t.Errorf("Accuracy() = %+v, want %+v", a, want)
	}
	if a != h.Estimator("none of these").Accuracy() {
		t.Error("where a class is not known, all count, as for times")
	}
	if got := a.Margin(12); got != 11 { // ten runs with 10 %, as if five more with 12 %
		t.Errorf("Margin(12) = %d", got)
	}
	if got := (Accuracy{Runs: 3, Over: 300}).Margin(12); got != 30 { // above the usual margin: not drawn down to it
		t.Errorf("Margin(12) of runs that took 30 %% longer = %d", got)
	}
	if got := (Accuracy{Runs: 3, Over: 1_000_000}).Margin(12); got != 1000 { // a thousand times as long: a clock
		t.Errorf("Margin(12) of runs that took 1000 times as long = %d", got)
	}
	if got := (Accuracy{Runs: 3}).Margin(0); got != 1 { // 0 stands for the usual one
		t.Errorf("Margin(0) of runs that kept it = %d", got)
	}
	if got := (Accuracy{}).Margin(12); got != 12 {
		t.Errorf("Margin(12) of nothing = %d", got)
	}
}

// A target is about a run's longest job: another one that takes longer than
// predicted, and is not the longest even so, does no harm.
func TestAccuracyOfRuns(t *testing.T) {
	var all []*Results
	for k := range int64(4) {
		run := fmt.Sprint("r", k)
		all = append(all,
			jobRun(run, 10*k, 1, 1050, 1000, 100),
			jobRun(run, 10*k+1, 1, 900, 500, 100), // 80 % over
			jobRun(run, 10*k+2, 1, 600, 700, 100))
	}
	a := FromResults(all...).Estimator("linux").Accuracy()
	if a.Jobs != 12 || a.Runs != 4 || a.Over != 50 || a.Ninth != 444 {
		t.Errorf("Accuracy() = %+v, want 4 runs that were 50 per mille over", a)
	}
}

// One job moves the overhead half of the way, what was long ago not at all, and a
// slow one of ten is not what nine of ten keep.
func TestOverhead(t *testing.T) {
	const usual = 25 * time.Second
	jobs := func(seconds ...int) *History {
		h := &History{}
		for k, s := range seconds {
			r := jobRun(fmt.Sprint("r", k), int64(k), 1, 1000, 1000, 100)
			r.Header.SetUp = time.Duration(s) * time.Second
			h.Merge(FromResults(r))
		}
		return h
	}
	repeated := func(n, seconds int) (all []int) {
		for range n {
			all = append(all, seconds)
		}
		return all
	}
	for _, c := range []struct {
		name       string
		seconds    []int
		took, late time.Duration
	}{
		{"one", []int{65}, 45 * time.Second, 0},
		{"two", []int{70, 70}, 55 * time.Second, 0},
		{"three", []int{70, 600, 70}, 70 * time.Second, 530 * time.Second},
		{"one of ten is slow", append(repeated(9, 40), 600), 40 * time.Second, 0},
		{"one of eight is slow", append(repeated(7, 40), 600), 40 * time.Second, 560 * time.Second},
		{"long ago", append(repeated(200, 300), repeated(40, 40)...), 40 * time.Second, 0},
	} {
		if got := jobs(c.seconds...).Estimator("linux").Overhead(usual); got.Took != c.took || got.Late != c.late || got.Jobs != min(len(c.seconds), learnedJobs) {
			t.Errorf("%s: Overhead() = %+v, want %v and %v", c.name, got, c.took, c.late)
		}
	}
	// What comes after pytest is known of one job: the others take as long for it.
	h, seen := jobs(10, 10, 10, 10), jobRun("seen", 9, 1, 1000, 1000, 100)
	seen.Header.SetUp = 10 * time.Second
	h.Merge(FromResults(seen))
	h.Merge(FromJobs(JobOverhead{seen, 25 * time.Second, 0}))
	if got := h.Estimator("linux").Overhead(usual); got.Took != 25*time.Second || got.Jobs != 5 {
		t.Errorf("with one job seen from outside: Overhead() = %+v, want 25 s of 5 jobs", got)
	}
}

// What comes after pytest is not known of a job that does not tell what came before.
func TestOverheadOutside(t *testing.T) {
	inside, outside := jobRun("i", 2, 1, 1000, 0, 100), jobRun("o", 1, 1, 1000, 0, 100)
	inside.Header.SetUp = 10 * time.Second
	h := FromResults(inside)
	h.Merge(FromJobs(JobOverhead{outside, 30 * time.Second, 0}))
	if got, want := h.Estimator("linux").Overhead(0).Took.Round(time.Millisecond), 6667*time.Millisecond; got != want { // two thirds of the smaller
		t.Errorf("Overhead() = %v, want %v", got, want)
	}
}

// Of what is about runs whole ones count, however many jobs they have.
func TestManyJobs(t *testing.T) {
	var all []*Results
	for k := range int64(4) {
		for job := range int64(200) {
			predicted := 1000
			if job == 0 {
				predicted = 2000 // the longest, the first to start
			}
			r := jobRun(fmt.Sprint("r", k), 1000*k+job, 1, 2000, predicted, 100)
			r.Header.SetUp = time.Duration(30+60*(1-min(job, 1))) * time.Second
			all = append(all, r)
		}
	}
	h := FromResults(all...)
	h.Prune(Limits{})
	e := h.Estimator("linux")
	if a := e.Accuracy(); a.Jobs != 40 || a.Runs != 4 || a.Over != 0 {
		t.Errorf("Accuracy() = %+v, want four runs that were as long as predicted", a)
	}
	if o := e.Overhead(25 * time.Second); o.Took != 30*time.Second || o.Late != 60*time.Second {
		t.Errorf("Overhead() = %+v, want 30 s, and 60 s more of the slowest job of each run", o)
	}
}

// One run of many jobs decides neither what a job takes nor how far predictions are off.
func TestOneOfManyJobs(t *testing.T) {
	var all []*Results
	for k := range int64(4) {
		for job := range int64(100) {
			r := jobRun(fmt.Sprint("r", k), 1000*k+job, 1, 1000, 1000, 100)
			r.Header.SetUp = 30 * time.Second
			if k == 3 { // the newest, on a bad day
				r.Header.SetUp, r.Elapsed = 90*time.Second, 2*time.Second
			}
			all = append(all, r)
		}
	}
	e := FromResults(all...).Estimator("linux")
	if a := e.Accuracy(); a.Jobs != learnedJobs || a.Median != 0 {
		t.Errorf("Accuracy() = %+v, want %d jobs, of which most took as long as predicted", a, learnedJobs)
	}
	if o := e.Overhead(25 * time.Second); o.Took != 30*time.Second || o.Late != time.Minute {
		t.Errorf("Overhead() = %+v, want 30 s, and a minute more of the slow run", o)
	}
}

// Shrink moves a little after one run, and never past what was seen.
func TestShrink(t *testing.T) {
	for n, want := range []float64{1, 1.5, 1 + 2.0/3, 1.75} {
		if got := shrink(2, n); math.Abs(got-want) > 1e-9 {
			t.Errorf("shrink(2, %d) = %v, want %v", n, got, want)
		}
	}
}

// What a job takes outside its workers' tests is known where each worker ran from
// the job's start to its end.
func TestOutside(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(r *Results)
		want   time.Duration
	}{
		{"a whole job", func(*Results) {}, 200 * time.Millisecond}, // 100 ms until the first test, and 100 ms at the end
		{"its tests failed", func(r *Results) { r.Exit = 1 }, 200 * time.Millisecond},
		{"stopped", func(r *Results) { r.Exit = 2 }, 0},
		{"stopped in a test", func(r *Results) { r.Running = []TestStart{{ID: "a.py::x"}} }, 0},
		{"a worker died", func(r *Results) { r.Deaths = []Death{{}} }, 0},
		{"a worker was renewed", func(r *Results) {
			r.Workers = append(r.Workers, WorkerResult{Worker: "gw2", Startup: time.Millisecond})
			r.Elapsed = time.Minute // of which gw2's tests, that count from its own start, were half
		}, 0},
		{"not ended", func(r *Results) { r.Ended = false }, 0},
	} {
		r := jobRun("r", 1, 2, 1300, 1200, 100)
		c.change(r)
		if got := outside(r); got != c.want {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
}

// What a job's tests took has their tails but the last one's, and no garbage.
func TestBody(t *testing.T) {
	ms := time.Millisecond
	for _, c := range []struct {
		name    string
		tail    time.Duration
		garbage []time.Duration
		want    int64 // µs
	}{
		{"two tests of 100 ms", 0, nil, 200_000},
		{"a tail", 5 * ms, nil, 205_000},
		{"garbage in the first", 0, []time.Duration{60 * ms, 0}, 140_000},
	} {
		r := jobRun("r", 1, 1, 1300, 1200, 100)
		r.Workers[0].Tail = c.tail
		if took, tests := body(r, c.garbage); took != 200_000 || tests != c.want {
			t.Errorf("%s: body() = %d, %d, want 200000, %d", c.name, took, tests, c.want)
		}
	}
}

// Each test's tail is that of a job with as many processes.
func TestTailOfProcesses(t *testing.T) {
	one, two := jobRun("a", 1, 1, 1300, 1200, 100), jobRun("b", 2, 2, 1300, 1200, 100)
	for i, r := range []*Results{one, two} {
		for k := range r.Workers {
			r.Workers[k].Tail = time.Duration(1+i) * time.Millisecond
		}
	}
	h := FromResults(one, two)
	for workers, want := range map[int]int64{0: 2000, 1: 1000, 2: 2000, 4: 2000} {
		if e := h.EstimatorAt(Place{Runner: "linux", Workers: workers, CPUs: 2}); e.tail != want {
			t.Errorf("with %d workers a test's tail is %d µs, want %d", workers, e.tail, want)
		}
	}
	if e := FromResults(one).EstimatorAt(Place{Runner: "linux", Workers: 2, CPUs: 2}); e.tail != 1000 {
		t.Errorf("where only one process is known, a test's tail is %d µs, want 1000", e.tail)
	}
}

// Where xdist was to start workers and did not, nothing is learned of so many.
func TestWorkersThatWereNot(t *testing.T) {
	r := jobRun("r", 1, 1, 1300, 1200, 100)
	r.Header.Workers = 2
	for range 2 {
		if file := bytesOf(t, FromResults(r)); strings.Contains(file, `"kind":"job"`) {
			t.Errorf("of %d processes the history is\n%s", len(r.Workers), file)
		}
		r.Workers = append(r.Workers, WorkerResult{Worker: "main", PID: 71}) // which ran a killed test again
	}
}
