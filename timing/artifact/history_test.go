package artifact

import (
	"testing"
)

// The history comes from the newest good run that has one; runs that others
// could have written, whatever their branch is called, are passed over.
func TestHistory(t *testing.T) {
	f := newFake(t)
	f.runs("/actions/workflows/test.yml/runs",
		f.run(10, "push", "main", 2),         // a fork's
		f.run(11, "pull_request", "main", 1), // of a pull request
		f.run(12, "push", "main", 1),         // has nothing
		f.run(13, "push", "main", 1),         // has what has expired
		f.run(14, "schedule", "main", 1),     // has results
		f.run(15, "push", "main", 1))
	f.artifacts(12, stored(1, "coverage"))
	f.artifacts(13, stored(2, TimingsName(1), expired))
	f.artifacts(14, stored(3, ResultsName("pool-1", 1)), stored(4, ResultsName("pool-1", 2)), stored(5, PlanName(1)))
	f.artifacts(15, stored(6, TimingsName(1)))
	run, found, err := f.client(nil).History(t.Context(), "test.yml")
	if err != nil {
		t.Fatal(err)
	}
	if run.ID != 14 || len(found) != 1 || found[0].ID != 4 {
		t.Errorf("History() = run %d, %+v, want the results of run 14", run.ID, found)
	}
}

func TestHistoryPrefersTimings(t *testing.T) {
	f := newFake(t)
	f.runs("/actions/runs", f.run(14, "push", "main", 1))
	f.artifacts(14, stored(3, ResultsName("pool-1", 1)), stored(4, TimingsName(1)), stored(5, TimingsName(2)))
	_, found, err := f.client(nil).History(t.Context(), "")
	if err != nil || len(found) != 1 || found[0].ID != 5 {
		t.Errorf("History() = %+v, %v, want artifact 5", found, err)
	}
}

func TestNoHistory(t *testing.T) {
	f := newFake(t)
	f.runs("/actions/runs", f.run(10, "push", "main", 2))
	_, _, err := f.client(nil).History(t.Context(), "")
	want(t, err, Missing, "default branch of acme/weather has a history", "first green run")
}

// A history that only the second attempt left is found, too, and so is one that has
// no plan beside it.
func TestHistoryOfOtherRuns(t *testing.T) {
	for name, of := range map[string][]map[string]any{
		"second attempt": {stored(2, ResultsName("pool-1", 2)), stored(3, PlanName(2))},
		"fourth attempt": {stored(2, ResultsName("pool-1", 4)), stored(3, PlanName(4))},
		"no plan":        {stored(2, TimingsName(2))},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFake(t)
			last := f.run(11, "push", "main", 1)
			if name == "fourth attempt" {
				last["run_attempt"] = 4
			}
			f.runs("/actions/workflows/test.yml/runs", f.run(12, "push", "main", 1), last)
			f.artifacts(12, stored(1, "coverage"))
			f.artifacts(11, of...)
			run, found, err := f.client(nil).History(t.Context(), "test.yml")
			if err != nil || run.ID != 11 || len(found) != 1 || found[0].ID != 2 {
				t.Errorf("History() = %+v, %+v, %v, want artifact 2 of run 11", run, found, err)
			}
		})
	}
}

// TestHistoryAsks counts the requests: a repository has a thousand an hour, for all
// of its workflows, and where there is no history each of their runs searches.
func TestHistoryAsks(t *testing.T) {
	const days = 28 // a run of this workflow and one of another one on each
	for name, c := range map[string]struct {
		pulls int // pull requests with a history, on the day after
		day   int // whose run has a history; 0 is none
		most  int // requests
	}{
		"the newest run has one":          {0, days, 3},
		"an old run has one":              {0, 2, 6},
		"nobody has one":                  {0, 0, 6},
		"pull requests alone have one":    {90, 0, 6},
		"many pull requests have one":     {250, 0, 10},
		"too many pull requests have one": {1000, 0, 14},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFake(t)
			for i := range c.pulls {
				pull := []map[string]any{createdOn(29, stored(1000+2*i, PlanName(1))), createdOn(29, stored(1001+2*i, TimingsName(1)))}
				f.artifacts(1000+i, pull...)
			}
			var own, all []map[string]any
			for day := days; day > 0; day-- {
				for _, id := range []int{2 * day, 2*day - 1} {
					run := createdOn(day, f.run(id, "push", "main", 1))
					run["run_attempt"] = 1
					all = append(all, run)
					list := []map[string]any{createdOn(day, stored(100+id, "coverage"))}
					if id == 2*day {
						own = append(own, run)
						if day == c.day {
							list = append(list, createdOn(day, stored(id, TimingsName(1))))
						}
					}
					f.artifacts(id, list...)
				}
			}
			f.runs("/actions/workflows/test.yml/runs", own...)
			f.runs("/actions/runs", all...)
			run, found, err := f.client(nil).History(t.Context(), "test.yml")
			if c.day == 0 {
				want(t, err, Missing, "none of the last 30 good runs of the default branch of acme/weather has a history")
			} else if err != nil || run.ID != int64(2*c.day) || len(found) != 1 || found[0].ID != run.ID {
				t.Errorf("History() = %+v, %+v, %v, want that of run %d", run, found, err, 2*c.day)
			}
			if f.calls > c.most {
				t.Errorf("%d requests, want at most %d", f.calls, c.most)
			}
		})
	}
}
