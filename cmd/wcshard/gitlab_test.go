//go:build unix

package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// gitlabPackages are, by package of npm, the tool that runs GitLab's pipelines on this
// machine, and the Node.js that it wants.
var gitlabPackages = []string{"gitlab-ci-local@4.75.1", "node@22"}

// rsync is what that tool calls rsync for: to copy what it calls artifacts. Few
// machines have it. What it copies for containers nobody needs here.
const rsync = `#!/bin/sh
for word; do
  case $word in --files-from=*) list=${word#*=} ;; esac
  to=$word
done
mkdir -p "$to"
[ -z "$list" ] || tar -cf - -T "$list" | tar -xf - -C "$to"
`

// gitlabTool returns a folder with programs, to be looked for first, and the tool
// among them.
func gitlabTool(t *testing.T) (bin, tool string) {
	t.Helper()
	cache, err := os.UserCacheDir()
	if err != nil {
		t.Skip(err)
	}
	npm, err := exec.LookPath("npm")
	if err != nil {
		t.Skip(err)
	}
	folder := filepath.Join(cache, "wcshard", "tools", strings.Join(gitlabPackages, "-"))
	bin = filepath.Join(folder, "node_modules", ".bin")
	tool = filepath.Join(bin, "gitlab-ci-local")
	if _, err := os.Stat(tool); err != nil {
		install := exec.CommandContext(t.Context(), npm, append([]string{"install", "--no-audit", "--no-fund", "--prefix", folder}, gitlabPackages...)...)
		if out, err := install.CombinedOutput(); err != nil {
			t.Fatalf("%v: %v\n%s", install.Args, err, out)
		}
	}
	return bin, tool
}

// TestGitLab runs README's pipeline, and the child pipeline that its plan writes, as
// GitLab would but for artifacts and caches: all jobs work in one folder here. A test
// that fails makes its shard and the gate fail, and what was measured is learned.
func TestGitLab(t *testing.T) {
	venv := testVenv(t)
	bin, tool := gitlabTool(t)
	dir := t.TempDir()
	for _, name := range []string{"test_a.py", "test_b.py"} {
		writeTestFile(t, filepath.Join(dir, "tests", name), "import pytest\n@pytest.mark.parametrize('n', range(8))\ndef test(n): pass\n")
	}
	readme, err := os.ReadFile(filepath.Join(repository(t), "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, block := range yamlBlock.FindAllSubmatch(readme, -1) {
		var jobs map[string]any
		switch yaml.Unmarshal(block[1], &jobs); {
		case jobs["learn"] != nil:
			writeTestFile(t, filepath.Join(dir, ".gitlab", "wcshard.yml"), string(block[1]))
		case jobs["plan"] != nil:
			writeTestFile(t, filepath.Join(dir, ".gitlab-ci.yml"), string(block[1]))
		}
	}
	shim := t.TempDir()
	writeTestFile(t, filepath.Join(shim, "rsync"), rsync)
	if err := os.Chmod(filepath.Join(shim, "rsync"), 0o755); err != nil {
		t.Fatal(err)
	}
	writeTestFile(t, filepath.Join(dir, ".gitignore"), ".*\n!.gitlab*\nwcshard-*\n__pycache__\n")
	for _, args := range [][]string{{"init", "-q", "-b", "main"}, {"remote", "add", "origin", "https://gitlab.com/o/p.git"}, {"add", "-A"},
		{"-c", "user.name=t", "-c", "user.email=t@example.org", "commit", "-q", "-m", "t"}} {
		git := exec.CommandContext(t.Context(), "git", args...)
		git.Dir = dir
		mustRun(t, git)
	}
	env := append(os.Environ(), "HOME="+t.TempDir(), "PATH="+strings.Join([]string{shim, bin, filepath.Join(venv, "bin"), os.Getenv("PATH")}, string(os.PathListSeparator)))
	run := func() string {
		cmd := wcshard(t, dir, env)
		gitlab := exec.CommandContext(t.Context(), filepath.Join(bin, "node"), tool, "--force-shell-executor")
		gitlab.Dir, gitlab.Env = cmd.Dir, cmd.Env
		return mustRun(t, gitlab)
	}
	want := func(out string, lines ...string) {
		t.Helper()
		said := strings.Join(strings.Fields(out), " ")
		for _, line := range lines {
			if !strings.Contains(said, line) {
				t.Errorf("%q is not in\n%s", line, out)
			}
		}
	}
	want(run(), "16 of 16 tests ran exactly once", "PASS [tests] -> pool-4", "PASS [tests] -> wcshard-verify", "PASS [tests] -> learn")
	writeTestFile(t, filepath.Join(dir, "tests", "test_fails.py"), "def test_fails(): assert not 'wrong'\n")
	want(run(), "failed in pool-", "17 of 17 tests ran exactly once", "FAIL pool-", "FAIL wcshard-verify", "PASS [tests] -> learn", "17 tests from 2 runs")
}
