package main

import (
	"context"
	"errors"
	"fmt"
	"os"
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
		start, whole := jobStart(j.sys, now), time.Duration(timeout)*time.Minute
		if deadline = start.Add(whole - beforeTimeout); !deadline.After(now) {
			return nil, nil, &failure{
				status: exitIncomplete,
				err:    fmt.Errorf("set-up took %.0f of %d minutes, no time is left for tests", now.Sub(start).Minutes(), timeout),
				hint:   "tell the plan what the set-up takes (wcshard matrix --job-overhead 10m, in the action the input job-overhead), make it faster, with a cache for example, or raise the job's timeout-minutes and pass a --time-limit of your own, such as 55m",
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

// jobStart is when the CI's job began, since its timeout runs from then: in
// GitHub Actions the runner writes the event's file first of all.
func jobStart(sys *system, now time.Time) time.Time {
	info, err := os.Stat(sys.getenv("GITHUB_EVENT_PATH"))
	if err != nil || info.ModTime().After(now) {
		return now
	}
	return info.ModTime()
}
