package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"time"
)

// planLimit as --time-limit is the shard's timeout by the plan.
const planLimit = "plan"

// beforeTimeout is how long before the CI ends a job pytest is stopped: time to
// tear down, of which pytest has tearDown before it is killed, and to upload the
// results. xdist alone waits ten seconds for a worker that does not stop.
const (
	beforeTimeout = time.Minute
	tearDown      = 40 * time.Second
)

var errTimeLimit = errors.New("the time limit is reached")

// within ends the context when the time limit is reached; timeout is the
// shard's, in minutes, 0 where there is none. The error says that the limit was
// reached before there was a test to stop.
func (j *job) within(ctx context.Context, timeout int) (context.Context, context.CancelFunc, error) {
	now := time.Now()
	var deadline time.Time
	switch limit, err := time.ParseDuration(j.options.timeLimit); {
	case err == nil:
		deadline = now.Add(limit)
	case j.options.timeLimit == planLimit && timeout > 0:
		start, whole := jobStart(j.sys, now), jobTimeout(j.sys, time.Duration(timeout)*time.Minute)
		if deadline = start.Add(whole - beforeTimeout); !deadline.After(now) {
			return nil, nil, &failure{
				status: exitIncomplete,
				err:    fmt.Errorf("set-up took %.0f of %.0f minutes, no time is left for tests", now.Sub(start).Minutes(), whole.Minutes()),
				hint:   "tell the plan what the set-up takes (wcshard matrix --job-overhead 10m, in the action the input job-overhead), make it faster, with a cache for example, or raise the job's timeout (timeout-minutes on GitHub) and pass a --time-limit of your own, such as 55m",
			}
		}
	}
	if deadline.IsZero() {
		ctx, cancel := context.WithCancel(ctx)
		return ctx, cancel, nil
	}
	ctx, cancel := context.WithDeadlineCause(ctx, deadline, errTimeLimit)
	return ctx, cancel, nil
}

// jobStart is when the CI's job began, since its timeout runs from then, or now
// where that is unknown. In GitHub Actions the runner writes the event's file
// first of all. GitLab says when a runner took the job, which pulls the image and
// checks out within the timeout; that is the server's clock, and a start that is
// still to come by ours is none. Elsewhere its variable is an image's, built there.
func jobStart(sys *system, now time.Time) time.Time {
	var start time.Time
	info, err := os.Stat(sys.getenv("GITHUB_EVENT_PATH"))
	if err == nil {
		start = info.ModTime()
	} else if sys.inGitLab() {
		start, err = time.Parse(time.RFC3339, sys.getenv("CI_JOB_STARTED_AT"))
	}
	if err != nil || start.After(now) {
		return now
	}
	return start
}

// hosted is after what time GitHub ends any job on its own runners.
const hosted = 6 * time.Hour

// jobTimeout is after what time the CI ends a job, by the plan or earlier: a runner
// of GitLab's may have a maximum, and numbered jobs have the project's timeout.
// Which one holds is what the runner says, in seconds.
func jobTimeout(sys *system, planned time.Duration) time.Duration {
	if sys.getenv("RUNNER_ENVIRONMENT") == "github-hosted" {
		planned = min(planned, hosted)
	}
	seconds, err := strconv.ParseInt(sys.getenv("CI_JOB_TIMEOUT"), 10, 32)
	if err != nil || seconds < 1 || !sys.inGitLab() {
		return planned
	}
	return min(planned, time.Duration(seconds)*time.Second)
}
