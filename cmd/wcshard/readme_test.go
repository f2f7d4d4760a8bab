package main

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/wcshard/wcshard/timing"
)

// helpBlock is what stands in README.md between the markers for a verb's help.
var helpBlock = regexp.MustCompile(`(?s)(<!-- help (\w+) -->\n)(.*?)(<!-- end help -->\n)`)

// TestReadmeHelp keeps README.md and --help in step: README holds each verb's
// flags as the program prints them. UPDATE_README=1 rewrites them.
func TestReadmeHelp(t *testing.T) {
	name := filepath.Join(repository(t), "README.md")
	readme, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	shown := map[string]bool{}
	updated := helpBlock.ReplaceAllFunc(readme, func(block []byte) []byte {
		parts := helpBlock.FindSubmatch(block)
		verb := string(parts[2])
		shown[verb] = true
		return bytes.Join([][]byte{parts[1], []byte("```text\n"), flagsOf(t, verb), []byte("```\n"), parts[4]}, nil)
	})
	for _, verb := range newRoot(newSystem()).Commands() {
		if name := verb.Name(); !shown[name] && name != "help" && name != "completion" {
			t.Errorf("README.md shows no flags of %s", name)
		}
	}
	if bytes.Equal(updated, readme) {
		return
	}
	if os.Getenv("UPDATE_README") == "" {
		t.Fatal("README.md and --help differ; UPDATE_README=1 go test ./cmd/wcshard -run TestReadmeHelp mends README.md")
	}
	if err := os.WriteFile(name, updated, 0o666); err != nil {
		t.Fatal(err)
	}
}

// flagsOf returns the lines of a verb's help from "Flags:" on.
func flagsOf(t *testing.T, verb string) []byte {
	t.Helper()
	var stdout, stderr bytes.Buffer
	if status := run(context.Background(), &system{stdout: &stdout, stderr: &stderr}, []string{"help", verb}); status != exitOK {
		t.Fatalf("wcshard help %s: status %d\n%s", verb, status, &stderr)
	}
	_, flags, ok := bytes.Cut(stdout.Bytes(), []byte("Flags:\n"))
	if !ok {
		t.Fatalf("wcshard help %s shows no flags:\n%s", verb, &stdout)
	}
	return flags
}

// yamlBlock is a block of YAML in README.md.
var yamlBlock = regexp.MustCompile("(?s)\n```yaml\n(.*?)```\n")

// TestReadmeLearn runs the script of GitLab's job learn as it stands in README.md:
// it is part of each child pipeline, of one without tests, too, and of one whose
// jobs left no results.
func TestReadmeLearn(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("the script is a shell's")
	}
	readme, err := os.ReadFile(filepath.Join(repository(t), "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	var script []string
	for _, block := range yamlBlock.FindAllSubmatch(readme, -1) {
		var pipeline struct{ Learn struct{ Script []string } }
		if yaml.Unmarshal(block[1], &pipeline) == nil && pipeline.Learn.Script != nil {
			script = pipeline.Learn.Script
		}
	}
	if script == nil {
		t.Fatal("README.md has no job learn")
	}
	learn := func(dir string) string {
		cmd := wcshard(t, dir, nil)
		sh := exec.CommandContext(t.Context(), "sh", "-e", "-c", strings.Join(script, "\n"))
		sh.Dir, sh.Env = cmd.Dir, cmd.Env
		return mustRun(t, sh)
	}
	dir := t.TempDir()
	learn(dir)
	header := timing.ResultsHeader{Plan: "sha256:x", Run: "77", Shards: []string{"pool-1"}, Attempt: 1, Runner: "docker", Workers: 1, Started: time.Unix(0, 0).UTC()}
	writeTestFile(t, filepath.Join(dir, defaultResults, "wcshard-results-pool-1-1.jsonl"), string(header.Line()))
	out := learn(dir)
	if _, err := os.Stat(filepath.Join(dir, defaultTimings)); err != nil {
		t.Errorf("with results: %v, the script says %q", err, out)
	}
}
