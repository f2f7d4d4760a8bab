package artifact

import (
	"fmt"
	"net/http"
	"reflect"
	"strings"
	"testing"
	"time"
)

var eleven = time.Date(2026, 11, 1, 11, 0, 0, 0, time.UTC)

// ran is a job as the API shows it: created at eleven, started 4 seconds later,
// and done after a minute, with one step from 20 to 50 seconds after eleven.
func (f *fake) ran(id int, name string, change ...func(map[string]any)) map[string]any {
	job := f.sample(f.schemas["job"].Value).(map[string]any)
	at := func(s int) string { return eleven.Add(time.Duration(s) * time.Second).Format(time.RFC3339) }
	job["id"], job["name"], job["status"], job["conclusion"], job["run_attempt"] = id, name, "completed", "success", 1
	job["created_at"], job["started_at"], job["completed_at"] = at(0), at(4), at(64)
	job["steps"] = []any{map[string]any{"name": "Run the shard", "status": "completed", "conclusion": "success", "number": 1, "started_at": at(20), "completed_at": at(50)}}
	for _, c := range change {
		c(job)
	}
	return job
}

func (f *fake) jobs(run int, list ...map[string]any) {
	f.get(fmt.Sprintf("/actions/runs/%d/jobs", run), func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Query().Get("filter") != "all" {
			f.t.Errorf("asked for %s, want the jobs of all attempts", r.URL)
		}
		writeJSON(w, map[string]any{"total_count": len(list), "jobs": list})
	})
}

// Which attempt a job belongs to.
func TestJobAttempt(t *testing.T) {
	f := newFake(t)
	f.get("/actions/jobs/7", func(w http.ResponseWriter, r *http.Request) {
		writeJSON(w, f.ran(7, "tests (pool-1)", func(j map[string]any) { j["run_attempt"] = 2 }))
	})
	f.get("/actions/jobs/8", func(w http.ResponseWriter, r *http.Request) {
		writeJSON(w, f.ran(8, "no attempt", func(j map[string]any) { delete(j, "run_attempt") }))
	})
	for job, want := range map[int64]int{7: 2, 8: 1} {
		if got, err := f.client(nil).JobAttempt(t.Context(), job); err != nil || got != want {
			t.Errorf("job %d is of attempt %d, %v, want %d", job, got, err, want)
		}
	}
	_, err := f.client(nil).JobAttempt(t.Context(), 9)
	if err == nil || !strings.Contains(err.Error(), "asking for job 9 of acme/weather: GitHub answered 404") {
		t.Errorf("a job that is not there: %v", err)
	}
}

func TestJobs(t *testing.T) {
	f := newFake(t)
	set := func(key string, value any) func(map[string]any) {
		return func(j map[string]any) { j[key] = value }
	}
	f.jobs(5, f.ran(1, "tests (pool-1, 4)"), f.ran(1, "tests (pool-1, 4)"),
		f.ran(2, "red", set("conclusion", "failure"), set("run_attempt", 2)),
		f.ran(3, "no steps", func(j map[string]any) { delete(j, "steps") }),
		f.ran(4, "steps without times", set("steps", []any{map[string]any{"name": "x", "status": "completed", "conclusion": nil, "number": 1, "started_at": nil, "completed_at": nil}})),
		f.ran(5, "no attempt", func(j map[string]any) { delete(j, "run_attempt") }),
		f.ran(6, "created later than started", set("created_at", "2026-11-01T12:00:00Z")),
		f.ran(7, "still running", set("status", "in_progress"), set("conclusion", nil), set("completed_at", nil)),
		f.ran(8, "queued", set("status", "queued"), set("conclusion", nil), set("completed_at", nil)),
		f.ran(9, "skipped", set("conclusion", "skipped")),
		f.ran(10, "cancelled", set("conclusion", "cancelled")),
		f.ran(11, "timed out", set("conclusion", "timed_out")),
		f.ran(12, "done before it started", set("completed_at", "2026-11-01T10:59:00Z")),
	)
	got, err := f.client(nil).Jobs(t.Context(), 5)
	if err != nil {
		t.Fatal(err)
	}
	steps := []Step{{eleven.Add(20 * time.Second), eleven.Add(50 * time.Second)}}
	want := []Job{
		{"tests (pool-1, 4)", 1, 4 * time.Second, time.Minute, steps},
		{"red", 2, 4 * time.Second, time.Minute, steps},
		{"no steps", 1, 4 * time.Second, time.Minute, nil},
		{"steps without times", 1, 4 * time.Second, time.Minute, nil},
		{"no attempt", 1, 4 * time.Second, time.Minute, steps},
		{"created later than started", 1, 0, time.Minute, steps},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("Jobs() =\n%+v, want\n%+v", got, want)
	}
}

func TestJobsDenied(t *testing.T) {
	f := newFake(t)
	f.get("/actions/runs/5/jobs", func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusForbidden)
		writeJSON(w, map[string]any{"message": "Resource not accessible by integration"})
	})
	_, err := f.client(nil).Jobs(t.Context(), 5)
	want(t, err, Denied, "listing the jobs of run 5", "actions: read")
}

func TestOverhead(t *testing.T) {
	s := time.Second
	step := func(from, to int) []Step {
		return []Step{{eleven, eleven.Add(s)}, {eleven.Add(time.Duration(from) * s), eleven.Add(time.Duration(to) * s)}}
	}
	at := func(n int) time.Time { return eleven.Add(time.Duration(n) * s) }
	one := Job{"tests (pool-1, pool, ubuntu-latest)", 1, 4 * s, 60 * s, step(20, 50)}
	other := func(name string, attempt int, took time.Duration, steps []Step) Job {
		return Job{name, attempt, 9 * s, took, steps}
	}
	for _, c := range []struct {
		name     string
		jobs     []Job
		began    time.Time
		took     time.Duration
		want     time.Duration
		wantsOne bool
	}{
		{"the job's time without the session's", []Job{other("matrix", 1, 9*s, nil), one}, at(21), 25 * s, 35 * s, true},
		{"no steps", []Job{other("pool-1", 1, 60*s, nil)}, at(21), 25 * s, 35 * s, true},
		{"a called workflow", []Job{other("ci / tests (pool-1)", 1, 60*s, nil)}, at(21), 25 * s, 35 * s, true},
		{"another clock", []Job{one}, at(-7000), 25 * s, 35 * s, true},
		{"whole seconds", []Job{one}, at(21), 60*s + 400*time.Millisecond, s, true},
		{"a session longer than its job", []Job{one}, at(21), 62 * s, 0, false},
		{"pool-10 is not pool-1", []Job{other("tests (pool-10)", 1, 60*s, nil)}, at(21), 25 * s, 0, false},
		{"another attempt", []Job{other("tests (pool-1)", 2, 60*s, nil)}, at(21), 25 * s, 0, false},
		{"no jobs", nil, at(21), 25 * s, 0, false},
		{"two of a name: by the step", []Job{other("lint (pool-1)", 1, 99*s, step(60, 98)), one}, at(21), 25 * s, 35 * s, true},
		{"two of a name, and the clock is off", []Job{other("lint (pool-1)", 1, 99*s, step(60, 98)), one}, at(-7000), 25 * s, 0, false},
		{"two of a name at once", []Job{one, one}, at(21), 25 * s, 0, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, queued, ok := Overhead(c.jobs, "pool-1", 1, c.began, c.took)
			if got != c.want || ok != c.wantsOne || ok != (queued > 0) {
				t.Errorf("Overhead() = %v, queued %v, %v; want %v, %v", got, queued, ok, c.want, c.wantsOne)
			}
		})
	}
}
