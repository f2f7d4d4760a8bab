package gitlab

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"github.com/wcshard/wcshard/shard/pytest"
)

// validator is the package that brings GitLab's published schema along, so
// that the test needs no network once it is installed.
const validator = "check-jsonschema==0.39.0"

// validate checks a file against GitLab's JSON schema.
func validate(t *testing.T, python, text string) error {
	t.Helper()
	name := filepath.Join(t.TempDir(), "pipeline.yml")
	if err := os.WriteFile(name, []byte(text), 0o666); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), python, "-m", "check_jsonschema", "--builtin-schema", "vendor.gitlab-ci", "--data-transform", "gitlab-ci", name)
	output, err := cmd.CombinedOutput()
	if err != nil {
		return fmt.Errorf("%w\n%s", err, output)
	}
	return nil
}

func write(t *testing.T, p *Pipeline) string {
	t.Helper()
	var text bytes.Buffer
	if err := p.Write(&text); err != nil {
		t.Fatal(err)
	}
	return text.String()
}

// pipeline is one of n shards that uses all there is.
func pipeline(n int) *Pipeline {
	p := &Pipeline{Comment: "Made by a test.", Plan: Source{"123", "plan: [3.12]"}}
	for i := range n {
		p.Jobs = append(p.Jobs, Job{
			Name: fmt.Sprintf("pool-%d", n-i), Tags: []string{"docker", "8GiB"}, Timeout: 12,
			Script:    []string{"cd sub", `wcshard run --pytest 'a: b # c' --run-id "$CI_PIPELINE_ID"`},
			Artifacts: []string{"sub/wcshard-results", "sub/wcshard-plan.json"},
		})
	}
	p.Gate = Job{Name: "another", Script: []string{"wcshard verify"}}
	return p
}

// TestWriteSchema holds what we write to GitLab's schema, and the schema to
// what it is here for: a file that is wrong does not pass.
func TestWriteSchema(t *testing.T) {
	if testing.Short() {
		t.Skip("makes a virtual environment")
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		t.Skip(err)
	}
	if _, err := exec.LookPath("python3"); err != nil {
		t.Skip(err)
	}
	dir := filepath.Join(cache, "wcshard", "venv", strings.ReplaceAll(validator, "==", "-"))
	python, err := pytest.Venv(t.Context(), pytest.VenvOptions{Dir: dir, Requirements: []string{validator}, Log: t.Output()})
	if err != nil {
		t.Fatal(err)
	}
	full := write(t, pipeline(2))
	for name, text := range map[string]string{
		"all parts":  full,
		"256 shards": write(t, pipeline(256)),
		"no tests":   write(t, &Pipeline{Gate: Job{Script: []string{"echo"}}}),
		"least":      write(t, &Pipeline{Jobs: []Job{{Name: "a", Script: []string{"b"}}}, Gate: Job{Script: []string{"c"}}}),
	} {
		if err := validate(t, python, text); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	for from, to := range map[string]string{
		"timeout: 12 minutes": "timeout: 12",
		"    - when: always":  "    - whenever: always",
		"when: always":        "when: ever",
		"  script:":           "  scripts:",
		`pipeline: "123"`:     "pipeline: 123",
	} {
		if !strings.Contains(full, from) {
			t.Errorf("the pipeline has no %q", from)
		}
		if validate(t, python, strings.ReplaceAll(full, from, to)) == nil {
			t.Errorf("with %q for %q the schema takes the pipeline all the same", to, from)
		}
	}
}

// TestWrite reads the YAML back: texts are what they were, jobs in their order,
// the gate last and without needs, whatever their number.
func TestWrite(t *testing.T) {
	p := pipeline(256)
	p.Jobs[0].Script = []string{"a: b # c", "- d", "*e", "\t'f' \"g\" $h `i`", "k\nl", "yes", "é"}
	var root yaml.Node
	if err := yaml.Unmarshal([]byte(write(t, p)), &root); err != nil {
		t.Fatal(err)
	}
	var names []string
	for i := 0; i < len(root.Content[0].Content); i += 2 {
		names = append(names, root.Content[0].Content[i].Value)
	}
	if len(names) != 259 || names[0] != "stages" || names[1] != "workflow" || names[2] != "pool-256" || names[257] != "pool-1" || names[258] != GateName {
		t.Errorf("%d keys, %q … %q, want stages, workflow, pool-256 … pool-1, %s", len(names), names[:3], names[len(names)-2:], GateName)
	}
	var jobs map[string]yaml.Node
	if err := root.Decode(&jobs); err != nil {
		t.Fatal(err)
	}
	var first, gate job
	for name, into := range map[string]*job{"pool-256": &first, GateName: &gate} {
		node := jobs[name]
		if err := node.Decode(into); err != nil {
			t.Fatal(err)
		}
	}
	if !slices.Equal(first.Script, p.Jobs[0].Script) {
		t.Errorf("script = %q, want %q", first.Script, p.Jobs[0].Script)
	}
	if want := (need{"123", "plan: [3.12]"}); len(first.Needs) != 1 || first.Needs[0] != want {
		t.Errorf("needs = %v, want %v", first.Needs, want)
	}
	if gate.When != "always" || len(gate.Needs) != 0 || gate.Stage == first.Stage {
		t.Errorf("the gate is %+v, want one that always runs, after the stage of the shards", gate)
	}
}

// TestWriteWorkflow: without rules of the workflow none of the jobs would be in
// the child of a merge request's pipeline, which GitLab refuses then.
func TestWriteWorkflow(t *testing.T) {
	for name, p := range map[string]*Pipeline{"shards": pipeline(2), "no tests": {Gate: Job{Script: []string{"echo"}}}} {
		var got struct{ Workflow workflow }
		if err := yaml.Unmarshal([]byte(write(t, p)), &got); err != nil {
			t.Fatal(err)
		}
		if want := []rule{{When: "always"}}; !slices.Equal(got.Workflow.Rules, want) {
			t.Errorf("%s: the workflow's rules are %v, want %v", name, got.Workflow.Rules, want)
		}
	}
}
