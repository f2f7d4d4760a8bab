// Package gitlab writes GitLab child pipelines: all that wcshard knows of
// GitLab's YAML.
package gitlab

import (
	"fmt"
	"io"

	"go.yaml.in/yaml/v3"
)

// The stages of a pipeline: all jobs of the first end, well or not, before the
// gate of the second begins.
const (
	stageRun  = "wcshard-run"
	stageGate = "wcshard-verify"
)

// GateName is the name of the job that decides.
const GateName = "wcshard-verify"

// Pipeline is a child pipeline of one job for each shard and a gate.
type Pipeline struct {
	Comment string // what made it, for its first line
	Plan    Source // the job whose artifacts hold the plan
	Jobs    []Job
	Gate    Job // its Name is GateName whatever stands here
}

// Source is a job of the parent pipeline.
type Source struct {
	Pipeline string // ID
	Job      string // name
}

// Job is one job.
type Job struct {
	Name      string
	Tags      []string // of the runner; none for any that takes jobs without tags
	Timeout   int      // minutes; 0 for the project's
	Script    []string // lines of a shell
	Artifacts []string // paths in the project, kept unless GitLab ends the job, as at its timeout
}

// The parts of GitLab's YAML that we use, in the order they are written.
type (
	workflow struct {
		Rules []rule `yaml:"rules"`
	}
	rule struct {
		When string `yaml:"when"`
	}
	job struct {
		Stage     string     `yaml:"stage"`
		Tags      []string   `yaml:"tags,omitempty"`
		Timeout   string     `yaml:"timeout,omitempty"`
		When      string     `yaml:"when,omitempty"`
		Needs     []need     `yaml:"needs,omitempty"`
		Script    []string   `yaml:"script"`
		Artifacts *artifacts `yaml:"artifacts,omitempty"`
	}
	need struct {
		Pipeline string `yaml:"pipeline"`
		Job      string `yaml:"job"`
	}
	artifacts struct {
		When  string   `yaml:"when"`
		Paths []string `yaml:"paths"`
	}
)

// Write writes the pipeline as YAML. Jobs keep their order.
//
// The workflow's rule is for pipelines of merge requests. A job without rules is
// for branches and tags, which their child pipelines are not of, unless the
// workflow has rules: without one there would be no job, and GitLab refuses such
// a pipeline. Jobs that others include beside this file need no rules, either.
//
// The gate has no needs, of which a job may have 50: it runs after all jobs of
// the stage before it, failed ones too, and gets the artifacts of all of them.
func (p *Pipeline) Write(w io.Writer) error {
	root := &yaml.Node{Kind: yaml.MappingNode, HeadComment: "# " + p.Comment}
	if err := set(root, "stages", []string{stageRun, stageGate}); err != nil {
		return err
	}
	if err := set(root, "workflow", workflow{Rules: []rule{{When: "always"}}}); err != nil {
		return err
	}
	for _, one := range p.Jobs {
		y := one.yaml(stageRun)
		y.Needs = []need{{p.Plan.Pipeline, p.Plan.Job}}
		if err := set(root, one.Name, y); err != nil {
			return err
		}
	}
	gate := p.Gate.yaml(stageGate)
	gate.When = "always"
	if err := set(root, GateName, gate); err != nil {
		return err
	}
	encoder := yaml.NewEncoder(w)
	encoder.SetIndent(2)
	if err := encoder.Encode(root); err != nil {
		return err
	}
	return encoder.Close()
}

func (one Job) yaml(stage string) job {
	y := job{Stage: stage, Tags: one.Tags, Script: one.Script}
	if one.Timeout > 0 {
		y.Timeout = fmt.Sprintf("%d minutes", one.Timeout)
	}
	if len(one.Artifacts) > 0 {
		y.Artifacts = &artifacts{When: "always", Paths: one.Artifacts}
	}
	return y
}

// set appends a key with its value to a mapping: a Go map would lose the order.
func set(mapping *yaml.Node, key string, value any) error {
	var k, v yaml.Node
	if err := k.Encode(key); err != nil {
		return err
	}
	if err := v.Encode(value); err != nil {
		return err
	}
	mapping.Content = append(mapping.Content, &k, &v)
	return nil
}
