package artifact

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/google/go-github/v60/github"
)

// Job is one job of a run, as GitHub saw it from outside. Its times are whole
// seconds, by GitHub's clock.
type Job struct {
	Name    string // as the workflow names it, with the values of its matrix
	Attempt int
	Queued  time.Duration // from when it could have started until a runner had it
	Took    time.Duration // from then to its end
	Steps   []Step
}

// Step is one step of a job.
type Step struct{ Started, Ended time.Time }

// Jobs lists the jobs of all attempts at a run that came to their own end:
// without those that are still running, were skipped or cancelled, and those
// whose times make no sense.
func (c *Client) Jobs(ctx context.Context, run int64) ([]Job, error) {
	var all []Job
	seen := map[int64]bool{} // a list that changes between two pages may show a job twice
	err := pages(func(page github.ListOptions) (*github.Response, error) {
		list, resp, err := c.api.Actions.ListWorkflowJobs(ctx, c.owner, c.name, run, &github.ListWorkflowJobsOptions{Filter: "all", ListOptions: page})
		if err != nil {
			return nil, err
		}
		for _, j := range list.Jobs {
			if job, ok := newJob(j); ok && !seen[j.GetID()] {
				seen[j.GetID()] = true
				all = append(all, job)
			}
		}
		return resp, nil
	})
	if err != nil {
		return nil, fmt.Errorf("listing the jobs of run %d of %s: %w", run, c.options.Repository, fault(err))
	}
	return all, nil
}

// JobAttempt asks which attempt at its run a job belongs to.
func (c *Client) JobAttempt(ctx context.Context, job int64) (int, error) {
	found, _, err := c.api.Actions.GetWorkflowJobByID(ctx, c.owner, c.name, job)
	if err != nil {
		return 0, fmt.Errorf("asking for job %d of %s: %w", job, c.options.Repository, fault(err))
	}
	return max(1, int(found.GetRunAttempt())), nil
}

func newJob(j *github.WorkflowJob) (Job, bool) {
	ended := j.GetConclusion() == "success" || j.GetConclusion() == "failure"
	if j.GetStatus() != "completed" || !ended || j.StartedAt == nil || j.CompletedAt == nil {
		return Job{}, false
	}
	job := Job{
		Name: j.GetName(), Attempt: max(1, int(j.GetRunAttempt())),
		Took: j.GetCompletedAt().Sub(j.GetStartedAt().Time),
	}
	if j.CreatedAt != nil {
		job.Queued = max(0, j.GetStartedAt().Sub(j.GetCreatedAt().Time))
	}
	for _, s := range j.Steps {
		if s.StartedAt != nil && s.CompletedAt != nil {
			job.Steps = append(job.Steps, Step{s.GetStartedAt().Time, s.GetCompletedAt().Time})
		}
	}
	return job, job.Took > 0
}

// clockSkew is how far a runner's clock may be from GitHub's for its times to be
// found among the steps of a job.
const clockSkew = 5 * time.Second

// Overhead returns what the job that ran a shard took beside its session, which
// began at the given time by the runner's clock and took so long; ok is false
// where no job, or not one alone, can be the shard's.
//
// A job is a shard's when its name holds the shard's, as in "tests (pool-1, 4)".
// Of several such, it is the one with a step during which the session ran.
// Clocks matter for nothing else: the overhead is a difference of durations.
func Overhead(jobs []Job, shard string, attempt int, began time.Time, took time.Duration) (overhead, queued time.Duration, ok bool) {
	var found []Job
	for _, j := range jobs {
		if j.Attempt == attempt && names(j.Name, shard) {
			found = append(found, j)
		}
	}
	if len(found) > 1 {
		found = slices.DeleteFunc(found, func(j Job) bool { return !j.covers(began, took) })
	}
	// Whole seconds may cut off one at either end.
	if len(found) != 1 || found[0].Took+time.Second < took {
		return 0, 0, false
	}
	return max(time.Second, found[0].Took-took), found[0].Queued, true
}

// names reports whether a job's name holds that of a shard as a whole word.
func names(job, shard string) bool {
	return slices.Contains(strings.FieldsFunc(job, func(r rune) bool {
		return !(r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r == '-' || r == '_' || r == '.')
	}), shard)
}

// covers reports whether the session can have run during one of the steps.
func (j *Job) covers(began time.Time, took time.Duration) bool {
	return slices.ContainsFunc(j.Steps, func(s Step) bool {
		return !began.Before(s.Started.Add(-clockSkew)) && !began.Add(took).After(s.Ended.Add(clockSkew))
	})
}
