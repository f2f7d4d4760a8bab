package main

import (
	"context"
	"errors"
	"os"
	"time"
)

// planLimit as --time-limit is the shard's timeout by the plan.
const planLimit = "plan"

// beforeTimeout is how long before the CI ends a job pytest is stopped: time to
// tear down, and to upload the results.
const beforeTimeout = time.Minute

var errTimeLimit = errors.New("the time limit is reached")

// within ends the context when the time limit is reached; timeout is the
// shard's, in minutes, 0 where there is none.
func (j *job) within(ctx context.Context, timeout int) (context.Context, context.CancelFunc) {
	now := time.Now()
	deadline := now
	switch limit, err := time.ParseDuration(j.options.timeLimit); {
	case err == nil:
		deadline = now.Add(limit)
	case j.options.timeLimit == planLimit && timeout > 0:
		deadline = jobStart(j.sys, now).Add(time.Duration(timeout)*time.Minute - beforeTimeout)
	}
	if !deadline.After(now) {
		return context.WithCancel(ctx)
	}
	return context.WithDeadlineCause(ctx, deadline, errTimeLimit)
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
