package main

import (
	"cmp"
	"fmt"
	"path"
	"path/filepath"
	"strings"

	"github.com/wcshard/wcshard/cmd/wcshard/internal/gitlab"
	"github.com/wcshard/wcshard/shard"
	"github.com/wcshard/wcshard/shard/pytest"
)

const (
	defaultPipeline = "wcshard-pipeline.yml"
	defaultRunner   = "ubuntu-latest"
)

// writePipeline writes the GitLab child pipeline for a plan, or, for nil, one
// that says that there are no tests: a pipeline has to have a job.
func (o *matrixOptions) writePipeline(sys *system, plan *shard.Plan) error {
	if o.output != "gitlab" {
		return nil
	}
	pipeline := &gitlab.Pipeline{
		Comment: "Made by wcshard matrix --output gitlab.",
		Gate:    gitlab.Job{Tags: o.tags(o.fleet.Runner), Script: []string{"echo 'wcshard: there are no tests'"}},
	}
	if plan != nil {
		folder, err := projectFolder(sys, o.plan)
		if err != nil {
			return err
		}
		o.fillPipeline(sys, pipeline, plan, folder)
	}
	if err := writeFile(o.pipeline, pipeline.Write); err != nil {
		return fmt.Errorf("writing the pipeline: %w", err)
	}
	sys.say("%s written", o.pipeline)
	return nil
}

// fillPipeline adds the jobs. folder is where wcshard runs, in the project. A
// shard stops itself in time, as GitLab uploads nothing of a job that it ends at
// its timeout, whatever artifacts: when says.
func (o *matrixOptions) fillPipeline(sys *system, pipeline *gitlab.Pipeline, plan *shard.Plan, folder string) {
	pipeline.Comment += " Plan " + plan.Digest
	pipeline.Plan = gitlab.Source{Pipeline: sys.getenv("CI_PIPELINE_ID"), Job: sys.getenv("CI_JOB_NAME")}
	var enter []string
	if folder != "." {
		enter = []string{"cd " + pytest.JoinWords(folder)}
	}
	file := filepath.ToSlash(o.plan)
	for i := range plan.Shards {
		s := &plan.Shards[i]
		line := fmt.Sprintf(`wcshard run --plan %s --shard %s --run-id "$CI_PIPELINE_ID" --time-limit %s`, pytest.JoinWords(file), pytest.JoinWords(s.Name), planLimit)
		if o.pytest != "" {
			line += " --pytest " + pytest.JoinWords(o.pytest)
		}
		pipeline.Jobs = append(pipeline.Jobs, gitlab.Job{
			Name:      s.Name,
			Tags:      o.tags(s.Runner),
			Timeout:   s.Timeout,
			Script:    append(enter[:len(enter):len(enter)], line),
			Artifacts: []string{path.Join(folder, defaultResults), path.Join(folder, file)},
		})
	}
	pipeline.Gate = gitlab.Job{
		Tags:   o.tags(o.fleet.Runner),
		Script: append(enter, fmt.Sprintf("wcshard verify --plan %s %s", pytest.JoinWords(file), defaultResults)),
	}
}

// tags turns a runner's label, or several with commas, into GitLab's tags. The
// default label is GitHub's and no tag.
func (o *matrixOptions) tags(label string) []string {
	if label == defaultRunner && !o.runnerGiven {
		return nil
	}
	tags := strings.Split(label, ",")
	for i := range tags {
		tags[i] = strings.TrimSpace(tags[i])
	}
	return tags
}

// projectFolder returns the working directory relative to $CI_PROJECT_DIR,
// where each job of a pipeline starts, with forward slashes. The plan has to
// lie in the project, or GitLab would not keep it.
func projectFolder(sys *system, plan string) (string, error) {
	here, err := dir()
	if err != nil {
		return "", err
	}
	folder, err := filepath.Rel(cmp.Or(sys.getenv("CI_PROJECT_DIR"), here), here)
	if err != nil || !filepath.IsLocal(folder) {
		return "", usagef("run wcshard in the project's folder", "%s is not in CI_PROJECT_DIR, %s", here, sys.getenv("CI_PROJECT_DIR"))
	}
	if filepath.IsAbs(plan) || !filepath.IsLocal(filepath.Join(folder, plan)) {
		return "", usagef("pass a --plan relative to the working directory, inside of the project", "--plan is %s: GitLab keeps files of the project only", plan)
	}
	return filepath.ToSlash(folder), nil
}

// checkGitLab finds out before any work whether this is a job of GitLab, whose
// artifacts the child pipeline can name.
func (o *matrixOptions) checkGitLab(sys *system) error {
	for _, name := range []string{"CI_PIPELINE_ID", "CI_JOB_NAME"} {
		if sys.getenv(name) == "" {
			return usagef("leave out --output outside of GitLab CI", "--output is gitlab and %s is not set", name)
		}
	}
	_, err := projectFolder(sys, o.plan)
	return err
}
