package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"github.com/wcshard/wcshard/shard/pytest"
)

const zizmor = "zizmor==1.32.0" // by PyPI's name

// metadata is action.yml.
type metadata struct {
	Inputs  yaml.Node
	Outputs map[string]struct{ Description, Value string }
	Runs    struct {
		Using string
		Steps []map[string]any
	}
}

// input is one input of action.yml, in its order.
type input struct{ name, description, initial string }

func readMetadata(t *testing.T) (metadata, []input, string) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(repository(t), "action.yml"))
	if err != nil {
		t.Fatal(err)
	}
	var m metadata
	if err := yaml.Unmarshal(text, &m); err != nil {
		t.Fatal(err)
	}
	var inputs []input
	for i := 0; i < len(m.Inputs.Content); i += 2 {
		var value struct {
			Description string
			Default     *string
		}
		name := m.Inputs.Content[i].Value
		if err := m.Inputs.Content[i+1].Decode(&value); err != nil {
			t.Fatal(err)
		}
		if value.Default == nil || value.Description == "" {
			t.Errorf("input %s has no default or no description", name)
			continue
		}
		inputs = append(inputs, input{name, value.Description, *value.Default})
	}
	return m, inputs, string(text)
}

var (
	pinned     = regexp.MustCompile(`^[\w.-]+/[\w./-]+@[0-9a-f]{40}$`)
	commented  = regexp.MustCompile(`(?m)uses: \S+@[0-9a-f]{40} # v\d+\.\d+\.\d+$`)
	inputUse   = regexp.MustCompile(`\binputs\.([a-z-]+)`)
	stepKeys   = strings.Fields("name id if run env continue-on-error working-directory shell uses with")
	ourSetting = regexp.MustCompile(`^WCSHARD_[A-Z_]+$`)
)

// TestMetadata holds what GitHub and good sense ask of action.yml, of which
// neither actionlint nor act say all.
func TestMetadata(t *testing.T) {
	m, inputs, text := readMetadata(t)
	if m.Runs.Using != "composite" {
		t.Errorf("using is %q", m.Runs.Using)
	}
	names := map[string]bool{}
	for _, in := range inputs {
		names[in.name] = true
		if strings.Contains(in.description, "${{") {
			t.Errorf("the description of input %s has an expression, which GitHub evaluates", in.name)
		}
		if !strings.Contains(text, "inputs."+in.name) {
			t.Errorf("input %s is never used", in.name)
		}
	}
	for _, use := range inputUse.FindAllStringSubmatch(text, -1) {
		if !names[use[1]] {
			t.Errorf("there is no input %s", use[1])
		}
	}
	for name, out := range m.Outputs {
		if strings.Contains(out.Description, "${{") || !strings.HasSuffix(out.Value, ".outputs."+name+" }}") {
			t.Errorf("output %s is %+v", name, out)
		}
	}
	uses := 0
	for i, step := range m.Runs.Steps {
		where := fmt.Sprintf("step %d (%v)", i, step["name"])
		for key := range step {
			if !slices.Contains(stepKeys, key) {
				t.Errorf("%s has a key %s, which a composite action may not have", where, key)
			}
		}
		if step["name"] == nil {
			t.Errorf("%s has no name, so that a log shows its script", where)
		}
		script, isRun := step["run"].(string)
		action, isUse := step["uses"].(string)
		switch {
		case isRun == isUse:
			t.Errorf("%s has both or none of run and uses", where)
		case isRun && step["shell"] != "bash":
			t.Errorf("%s has shell %v", where, step["shell"])
		case isRun && strings.Contains(script, "${{"):
			t.Errorf("%s has an expression in its script: a value could bring commands along", where)
		case isRun && strings.Contains(script, "\r"):
			t.Errorf("%s has a carriage return", where)
		case isUse && !pinned.MatchString(action):
			t.Errorf("%s uses %s: want a full SHA", where, action)
		}
		if isUse {
			uses++
		}
	}
	if n := len(commented.FindAllString(text, -1)); n != uses {
		t.Errorf("%d of %d actions have their version beside the SHA", n, uses)
	}
}

// TestLookAround runs the action's first step as each system's runner would,
// which act cannot: it knows only the system it runs on.
func TestLookAround(t *testing.T) {
	bash, err := exec.LookPath("bash")
	if err != nil || runtime.GOOS == "windows" {
		t.Skip("no bash, or one that takes another system's paths")
	}
	m, _, _ := readMetadata(t)
	script := m.Runs.Steps[0]["run"].(string)
	sum := strings.Repeat("ab", 32)
	for name, test := range map[string]struct {
		env  []string
		want []string // lines of $GITHUB_OUTPUT
		says string   // an error or a warning; "" for none
	}{
		"linux":                   {nil, []string{"mode=matrix", "learn=true", "platform=linux-amd64", "sum=", "asset=", "suite=my-tests--nightly--375310014"}, ""},
		"plain name":              {[]string{"WORKFLOW=tests.v1_x-2"}, []string{"suite=tests.v1_x-2"}, ""},
		"macos":                   {[]string{"RUNNER_OS=macOS", "RUNNER_ARCH=ARM64"}, []string{"platform=darwin-arm64", "sum=" + sum, "asset=wcshard-v1.2.3-darwin-arm64"}, ""},
		"windows":                 {[]string{"RUNNER_OS=Windows", `RUNNER_TEMP=\`}, []string{"platform=windows-amd64", "sum=" + sum, "asset=wcshard-v1.2.3-windows-amd64.exe"}, ""},
		"a job of the matrix":     {[]string{"ROW=" + sum, "JOBS=3"}, []string{"mode=run"}, ""},
		"all in a matrix":         {[]string{"MODE=all", "JOBS=3"}, nil, "::error::mode all is in a job of a matrix of 3 jobs"},
		"a matrix in a matrix":    {[]string{"JOBS=2", "ATTEMPT=4"}, nil, "would upload the artifact wcshard-plan-4"},
		"its mode is said":        {[]string{"ROW=" + sum, "MODE=verify"}, []string{"mode=verify"}, ""},
		"inputs of other steps":   {[]string{"ROW=" + sum, "GIVEN_PLAN=   shards   workers  ", "GIVEN_ALL=schedule"}, []string{"mode=run"}, "::warning::in mode run these inputs change nothing: shards, workers, schedule. They"},
		"inputs of run in matrix": {[]string{"GIVEN_RUN=time-limit ", "GIVEN_PLAN=shards", "GIVEN_PYTEST=warm"}, []string{"mode=matrix"}, "::warning::in mode matrix these inputs change nothing: time-limit. They"},
		"inputs in verify":        {[]string{"MODE=verify", "GIVEN_VERIFY=needs", "GIVEN_PYTEST= pytest "}, []string{"mode=verify"}, "::warning::in mode verify these inputs change nothing: pytest. They"},
		"needs in all":            {[]string{"MODE=all", "GIVEN_VERIFY=needs", "GIVEN_RUN=memory"}, []string{"mode=all"}, "::warning::in mode all these inputs change nothing: needs. They"},
		"its own inputs":          {[]string{"MODE=all", "GIVEN_PLAN=shards", "GIVEN_PYTEST=warm", "GIVEN_RUN=memory", "GIVEN_ALL=schedule"}, []string{"mode=all"}, ""},
		"pull request":            {[]string{"EVENT=pull_request", "REF=refs/pull/7/merge"}, []string{"learn=false"}, ""},
		"pull request target":     {[]string{"EVENT=pull_request_target"}, []string{"learn=false"}, ""},
		"workflow run":            {[]string{"EVENT=workflow_run"}, []string{"learn=false"}, ""},
		"merge queue":             {[]string{"EVENT=merge_group", "REF=refs/heads/gh-readonly-queue/main/pr-7"}, []string{"learn=false"}, ""},
		"other branch":            {[]string{"REF=refs/heads/feature"}, []string{"learn=false"}, ""},
		"schedule has no payload": {[]string{"EVENT=schedule", "DEFAULT_REF=refs/heads/"}, []string{"learn=true"}, ""},
		"other mode":              {[]string{"MODE=merge"}, nil, "::error::the input mode is none of matrix, run, verify and all"},
		"other system":            {[]string{"RUNNER_OS=Plan9"}, nil, "::error::wcshard runs on Linux, macOS and Windows"},
		"other architecture":      {[]string{"RUNNER_ARCH=ARM"}, nil, "::error::wcshard runs on X64 and ARM64"},
	} {
		t.Run(name, func(t *testing.T) {
			folder := t.TempDir()
			write := func(name, text string) {
				path := filepath.Join(folder, name)
				os.MkdirAll(filepath.Dir(path), 0o777)
				if err := os.WriteFile(path, []byte(text), 0o666); err != nil {
					t.Fatal(err)
				}
			}
			write("action/.github/release/SHA256SUMS", "# sums\n"+sum+"  wcshard-v1.2.3-darwin-arm64\n"+sum+"  wcshard-v1.2.3-windows-amd64.exe\n")
			write("output", "")
			back := strings.ReplaceAll(folder, "/", `\`)
			step := exec.CommandContext(t.Context(), bash, "--noprofile", "--norc", "-eo", "pipefail", "-c", script)
			step.Env = append([]string{"PATH=" + os.Getenv("PATH"), "RUNNER_OS=Linux", "RUNNER_ARCH=X64", "RUNNER_TEMP=" + folder, "GITHUB_WORKSPACE=" + folder,
				"GITHUB_ACTION_PATH=" + folder + "/action", "GITHUB_OUTPUT=" + folder + "/output", "MODE=", "ROW=", "WORKFLOW=my tests (nightly)",
				"EVENT=push", "REF=refs/heads/main", "DEFAULT_REF=refs/heads/main", "JOBS=1", "ATTEMPT=1"}, test.env...)
			if slices.Contains(test.env, `RUNNER_TEMP=\`) {
				step.Env = append(step.Env, "RUNNER_TEMP="+back, "GITHUB_ACTION_PATH="+back+`\action`)
			}
			out, err := step.CombinedOutput()
			if (err != nil) != (len(test.want) == 0) || !strings.Contains(string(out), test.says) || test.says == "" && len(out) > 0 {
				t.Fatalf("%v, want %q\n%s", err, test.says, out)
			}
			text, err := os.ReadFile(filepath.Join(folder, "output"))
			if err != nil {
				t.Fatal(err)
			}
			lines := strings.Split(string(text), "\n")
			for _, want := range test.want {
				if !slices.Contains(lines, want) {
					t.Errorf("there is no %q in\n%s", want, text)
				}
			}
			if strings.Contains(string(text), `\`) {
				t.Errorf("a backslash in\n%s", text)
			}
		})
	}
}

// notInputs are flags that are no inputs of the action, and why.
var notInputs = map[string]string{
	"help": "", "ids": "the action collects", "output": "always github", "pipeline": "GitLab's", "plan": "travels as an artifact",
	"save-timings": "travels with the plan", "results": "travel as artifacts", "repo": "this one", "api-url": "this one's",
	"shard": "row says it", "shard-index": "row says it", "all": "mode says it", "list": "prints only", "null": "prints only",
	"attempt": "GitHub says it", "run-id": "GitHub says it", "from-run": "for laptops", "failed": "for laptops",
	"with-context": "for laptops", "trust-fork": "for laptops", "json": "for machines",
	"enforce": "for laptops", "last-plan": "the cache has it",
}

// TestInputs holds inputs and flags together: an input is a flag of the same
// name, or the action's own; it reaches the verb as its environment variable;
// and README shows it.
func TestInputs(t *testing.T) {
	m, inputs, _ := readMetadata(t)
	own := map[string]bool{"mode": true, "working-directory": true, "token": true, "warm": true, "warm-key": true, "timings": true}
	verbs := map[string]string{"matrix": "matrix", "verify": "verify", "Run the shard": "run", "Run all shards": "run"}
	flags := map[string]map[string]bool{}
	all := map[string]bool{}
	for _, verb := range newRoot(newSystem()).Commands() {
		flags[verb.Name()] = map[string]bool{}
		for _, line := range strings.Split(string(flagNames(verb.Flags().FlagUsages())), "\n") {
			flags[verb.Name()][line] = true
			if verb.Name() == "matrix" || verb.Name() == "run" || verb.Name() == "verify" {
				all[line] = true
			}
		}
	}
	passed, toAll := map[string]bool{}, map[string]bool{}
	for _, step := range m.Runs.Steps {
		id, _ := step["id"].(string)
		name, _ := step["name"].(string)
		verb := verbs[id] + verbs[name]
		env, _ := step["env"].(map[string]any)
		for variable, value := range env {
			if (verb == "matrix" || verb == "run") && !ourSetting.MatchString(strings.TrimPrefix(variable, "_")) {
				t.Errorf("step %q starts pytest with %s, which may be a setting of the tests", name, variable)
			}
			if !ourSetting.MatchString(variable) || variable == tokenVariable {
				continue
			}
			flag := strings.ToLower(strings.ReplaceAll(strings.TrimPrefix(variable, "WCSHARD_"), "_", "-"))
			passed[flag] = true
			toAll[flag] = toAll[flag] || name == "Run all shards"
			if want := "${{ inputs." + flag + " }}"; value != want {
				t.Errorf("%s is %v in step %q, want %s", variable, value, name, want)
			}
			if !flags[verb][flag] {
				t.Errorf("step %q sets %s, and wcshard %s has no flag --%s", name, variable, verb, flag)
			}
		}
	}
	inPlan := map[string]bool{"pytest-args": true, "timings": true} // which mode all runs
	known := map[string]bool{}
	for _, in := range inputs {
		known[in.name] = true
		if flags["run"][in.name] && flags["matrix"][in.name] && !inPlan[in.name] && !toAll[in.name] {
			t.Errorf("input %s reaches the plan alone in mode all, and wcshard run has the flag, too", in.name)
		}
		if !own[in.name] && !passed[in.name] {
			t.Errorf("input %s reaches no verb", in.name)
		}
	}
	for flag := range all {
		if _, excepted := notInputs[flag]; flag != "" && !known[flag] && !excepted {
			t.Errorf("flag --%s is no input of action.yml; if it is not to be one, say why in notInputs", flag)
		}
	}
}

var flagName = regexp.MustCompile(`(?m)^\s+(?:-\S, )?--([a-z-]+).*$`)

func flagNames(usages string) []byte {
	var names [][]byte
	for _, m := range flagName.FindAllStringSubmatch(usages, -1) {
		names = append(names, []byte(m[1]))
	}
	return bytes.Join(names, []byte("\n"))
}

var (
	modeIs  = regexp.MustCompile(`outputs\.mode == '(\w+)'`)
	modeNot = regexp.MustCompile(`outputs\.mode != '(\w+)'`)
	given   = regexp.MustCompile(`^\$\{\{ inputs\.([a-z-]+)(?: != (\S+))? && '([a-z-]+)'( \|\| '')? \}\}$`)
)

// inputModes are the modes in which each input counts: those of the steps that use it.
func inputModes(t *testing.T, m metadata) map[string]string {
	t.Helper()
	modes := []string{"matrix", "run", "all", "verify"}
	used := map[string]map[string]bool{"mode": {}}
	for _, mode := range modes {
		used["mode"][mode] = true
	}
	for _, step := range m.Runs.Steps {
		if step["id"] == "setup" || step["id"] == "passed" {
			continue // which look at inputs to find out what to do
		}
		condition, _ := step["if"].(string)
		text, err := yaml.Marshal(step)
		if err != nil {
			t.Fatal(err)
		}
		for _, use := range inputUse.FindAllStringSubmatch(string(text), -1) {
			in := used[use[1]]
			if in == nil {
				in = map[string]bool{}
				used[use[1]] = in
			}
			is, not := modeIs.FindAllStringSubmatch(condition, -1), modeNot.FindStringSubmatch(condition)
			for _, mode := range modes {
				switch {
				case len(is) > 0:
					in[mode] = in[mode] || slices.ContainsFunc(is, func(m []string) bool { return m[1] == mode })
				case not != nil:
					in[mode] = in[mode] || not[1] != mode
				case strings.Contains(condition, "steps.matrix.outputs."):
					in[mode] = in[mode] || mode == "matrix" || mode == "all"
				default:
					t.Fatalf("in which modes is the step %q?", step["name"])
				}
			}
		}
	}
	all := map[string]string{}
	for name, in := range used {
		all[name] = strings.Join(slices.DeleteFunc(slices.Clone(modes), func(mode string) bool { return !in[mode] }), ", ")
	}
	return all
}

// TestGiven: the action's first step knows of each input in which modes it counts, and
// whether it is given.
func TestGiven(t *testing.T) {
	m, inputs, _ := readMetadata(t)
	modes := map[string]string{"GIVEN_PLAN": "matrix, all", "GIVEN_PYTEST": "matrix, run, all", "GIVEN_RUN": "run, all", "GIVEN_ALL": "all", "GIVEN_VERIFY": "verify"}
	want := inputModes(t, m)
	initial := map[string]string{}
	for _, in := range inputs {
		initial[in.name] = in.initial
	}
	listed := map[string]bool{"mode": true, "row": true} // of which the one counts everywhere, and the other is always there
	env := m.Runs.Steps[0]["env"].(map[string]any)
	for variable, value := range env {
		if !strings.HasPrefix(variable, "GIVEN_") {
			continue
		}
		for _, part := range strings.SplitAfter(value.(string), "}}") {
			if part = strings.TrimSpace(part); part == "" {
				continue
			}
			p := given.FindStringSubmatch(part)
			if p == nil || p[1] != p[3] || (p[2] == "") != (p[4] == "") {
				t.Errorf("%s has %s, want ${{ inputs.NAME && 'NAME' }}", variable, part)
				continue
			}
			if got, ok := modes[variable]; !ok || got != want[p[1]] {
				t.Errorf("%s has the input %s, which counts in the modes %s", variable, p[1], want[p[1]])
			}
			if got := strings.Trim(p[2], "'"); got != strings.TrimSuffix(strings.TrimPrefix(initial[p[1]], "${{ "), " }}") {
				t.Errorf("input %s is compared with %q, and its default is %q", p[1], got, initial[p[1]])
			}
			listed[p[1]] = true
		}
	}
	for _, in := range inputs {
		if !listed[in.name] {
			t.Errorf("no GIVEN_… has the input %s, which counts in the modes %s", in.name, want[in.name])
		}
	}
}

var inputsBlock = regexp.MustCompile(`(?s)<!-- inputs -->\n.*?<!-- end inputs -->\n`)

// TestReadmeInputs keeps README's table of inputs in step with action.yml;
// UPDATE_README=1 rewrites it.
func TestReadmeInputs(t *testing.T) {
	m, inputs, _ := readMetadata(t)
	modes := inputModes(t, m)
	table := "<!-- inputs -->\n| input | in mode | default | |\n|---|---|---|---|\n"
	for _, in := range inputs {
		initial := ""
		if in.initial != "" {
			initial = "`" + in.initial + "`"
		}
		if len(initial) > 40 {
			initial = "*computed*"
		}
		table += fmt.Sprintf("| `%s` | %s | %s | %s |\n", in.name, modes[in.name], initial, in.description)
	}
	table += "<!-- end inputs -->\n"
	name := filepath.Join(repository(t), "README.md")
	readme, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if !inputsBlock.Match(readme) {
		t.Fatal("README.md has no table of inputs")
	}
	updated := inputsBlock.ReplaceAllLiteral(readme, []byte(table))
	if bytes.Equal(updated, readme) {
		return
	}
	if os.Getenv("UPDATE_README") == "" {
		t.Fatal("README.md and action.yml differ; UPDATE_README=1 go test ./cmd/wcshard -run TestReadme mends README.md")
	}
	if err := os.WriteFile(name, updated, 0o666); err != nil {
		t.Fatal(err)
	}
}

// TestWorkflows has actionlint and zizmor look at action.yml, at this
// repository's own workflows and at README's.
func TestWorkflows(t *testing.T) {
	folder := t.TempDir()
	write := func(name string, text []byte) string {
		path := filepath.Join(folder, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, text, 0o666); err != nil {
			t.Fatal(err)
		}
		return path
	}
	_, _, text := readMetadata(t)
	write("action.yml", []byte(text))
	write(".git/config", nil) // actionlint looks for local actions from there
	var local, files []string
	for name, text := range workflows(t) {
		if name == "" && strings.Count(text, "\n") > 45 {
			t.Errorf("README's minimal workflow has %d lines, want at most 45", strings.Count(text, "\n"))
		}
		files = append(files, write(".github/workflows/readme-"+name+".yml", []byte(text)))
		// As a local action, so that its inputs and outputs are checked, too.
		text = regexp.MustCompile(`uses: wcshard/wcshard@.*`).ReplaceAllString(text, "uses: ./")
		local = append(local, write(".github/workflows/local-"+name+".yml", []byte(text)))
	}
	ours, err := filepath.Glob(filepath.Join(repository(t), ".github", "workflows", "*.yml"))
	if err != nil || len(ours) == 0 {
		t.Fatal("there are no workflows of our own: ", err)
	}
	for _, path := range ours {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, write(".github/workflows/"+filepath.Base(path), text))
	}
	lint := exec.CommandContext(t.Context(), tool(t, actionlintModule), slices.Concat([]string{"-shellcheck=", "-pyflakes="}, files, local)...)
	lint.Dir = folder
	if out, err := lint.CombinedOutput(); err != nil {
		t.Errorf("actionlint: %v\n%s", err, out)
	}

	cache, err := os.UserCacheDir()
	if err != nil {
		t.Skip(err)
	}
	venv := filepath.Join(cache, "wcshard", "venv", strings.ReplaceAll(zizmor, "==", "-"))
	if _, err := pytest.Venv(t.Context(), pytest.VenvOptions{Dir: venv, Requirements: []string{zizmor}, Log: t.Output()}); err != nil {
		t.Fatal(err)
	}
	audit := exec.CommandContext(t.Context(), filepath.Join(venv, "bin", "zizmor"), append([]string{"--offline", "--persona", "pedantic", "--no-progress", "--color", "never", filepath.Join(folder, "action.yml")}, files...)...)
	if out, err := audit.CombinedOutput(); err != nil {
		t.Errorf("zizmor: %v\n%s", err, out)
	}
}
