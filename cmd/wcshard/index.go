package main

import (
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/wcshard/wcshard/shard"
)

// ciIndex is how a CI numbers the jobs that it starts from one definition.
type ciIndex struct {
	index, total string // environment variables
	first        int    // the number of the first job
	only         string // a variable that must be true, where others use the same names
}

// ciIndexes are the CIs that number their jobs, as they document it. Knapsack
// and Heroku also set CI_NODE_INDEX, and count from 0.
var ciIndexes = []ciIndex{
	{index: "CI_NODE_INDEX", total: "CI_NODE_TOTAL", first: 1, only: "GITLAB_CI"},
	{index: "CI_NODE_INDEX", total: "CI_NODE_TOTAL"},
	{index: "CIRCLE_NODE_INDEX", total: "CIRCLE_NODE_TOTAL"},
	{index: "BUILDKITE_PARALLEL_JOB", total: "BUILDKITE_PARALLEL_JOB_COUNT"},
	{index: "BITBUCKET_PARALLEL_STEP", total: "BITBUCKET_PARALLEL_STEP_COUNT"},
	{index: "SEMAPHORE_JOB_INDEX", total: "SEMAPHORE_JOB_COUNT", first: 1},
	{index: "SYSTEM_JOBPOSITIONINPHASE", total: "SYSTEM_TOTALJOBSINPHASE", first: 1}, // Azure Pipelines
}

// indexVariables names the variables that --shard-index is read from, in lines
// for the help.
func indexVariables() string {
	var lines []string
	for i, ci := range ciIndexes {
		if i > 0 && ci.index == ciIndexes[i-1].index {
			continue
		}
		if last := len(lines) - 1; last >= 0 && len(lines[last])+len(ci.index) < 76 {
			lines[last] += ", " + ci.index
		} else {
			lines = append(lines, ci.index)
		}
	}
	return strings.Join(lines, ",\n")
}

// noIndex stands for no --shard-index.
const noIndex = math.MinInt

// chooseShards checks that it was said once what to run. Only where nothing
// was said the CI's own number of this job counts: some set it in every job.
func (o *runOptions) chooseShards(sys *system) error {
	const hint = "pass --shard NAME, --shard-index I, or --all for the whole plan"
	var given []string
	if o.shard != "" {
		given = append(given, "--shard")
	}
	if o.row != "" {
		given = append(given, "--row")
		r, err := readRow(o.row)
		if err != nil {
			return err
		}
		o.shard, o.digest = r.Name, r.Plan
	}
	if o.index != noIndex {
		given = append(given, "--shard-index")
	}
	if o.all {
		given = append(given, "--all")
	}
	switch {
	case len(given) > 1:
		return usagef(hint, "got both %s", strings.Join(given, " and "))
	case o.index < 0 && o.index != noIndex:
		return usagef("shards count from 0", "--shard-index is %d", o.index)
	case len(given) == 1:
		return nil
	}
	for _, ci := range ciIndexes {
		if sys.getenv(ci.index) == "" || ci.only != "" && sys.getenv(ci.only) != "true" {
			continue
		}
		return o.fromCI(sys, ci)
	}
	return usagef(hint, "got neither --shard nor --all")
}

// fromCI takes the number of this job from the CI.
func (o *runOptions) fromCI(sys *system, ci ciIndex) error {
	number := func(name string, first int) (int, error) {
		text := sys.getenv(name)
		n, err := strconv.Atoi(text)
		if err != nil || n < first {
			return 0, usagef("pass --shard NAME or --shard-index I", "%s is %q, want a number from %d", name, text, first)
		}
		return n - first, nil
	}
	var err error
	if o.index, err = number(ci.index, ci.first); err != nil {
		return err
	}
	if sys.getenv(ci.total) != "" {
		if o.jobs, err = number(ci.total, 0); err != nil {
			return err
		}
	}
	o.ci = ci
	return nil
}

// surplus reports whether the CI started more jobs than there are shards and this one is
// beyond them: as it counts, each shard has a job.
func (o *runOptions) surplus(plan *shard.Plan) bool {
	return o.index >= len(plan.Shards) && o.index < o.jobs
}

// shardAt turns the number of a shard into its name. Shards count from 0 in the
// plan's order, the longest first.
func (o *runOptions) shardAt(plan *shard.Plan) error {
	if o.shard != "" || o.all {
		return nil
	}
	n := len(plan.Shards)
	asked := fmt.Sprintf("--shard-index is %d", o.index)
	if o.ci.index != "" {
		asked = fmt.Sprintf("%s is %d", o.ci.index, o.index+o.ci.first)
	}
	switch {
	case o.index >= n:
		return usagef(fmt.Sprintf("start %s, or make a plan with other --shards and --max-memory-jobs", count(n, "job")),
			"%s and the plan has %s, %d to %d", asked, count(n, "shard"), o.ci.first, n-1+o.ci.first)
	case o.jobs > 0 && o.jobs < n:
		return usagef(fmt.Sprintf("start %s, or make a plan with other --shards and --max-memory-jobs", count(n, "job")),
			"%s is %d and the plan has %s: %d would run nowhere", o.ci.total, o.jobs, count(n, "shard"), n-o.jobs)
	}
	o.shard = plan.Shards[o.index].Name
	return nil
}
