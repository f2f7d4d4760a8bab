package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// Whatever configures pytest, git apply takes the patch that registers the
// marker, and pytest then knows it beside those that it knew.
func TestRegister(t *testing.T) {
	git, err := exec.LookPath("git")
	if err != nil {
		t.Skip(err)
	}
	pytest, err := findPytest(&system{environ: []string{"VIRTUAL_ENV=" + testVenv(t)}}, "")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name, file, text string
		known            string // a marker that was registered before
		byHand           bool
	}{
		{name: "nothing there: a pytest.ini"},
		{name: "an empty pytest.ini", file: "pytest.ini"},
		{name: "pytest.ini with a list", file: "pytest.ini", text: "[pytest]\nmarkers =\n    slow: takes long\n    fast\naddopts = -q\n", known: "slow"},
		{name: "pytest.ini with the first on the same line", file: "pytest.ini", text: "[pytest]\nmarkers = slow: takes long\n\n# more\n", known: "slow"},
		{name: "pytest.ini without markers", file: "pytest.ini", text: "[pytest]\naddopts = -q"},
		{name: "pytest.ini that ends in its markers", file: "pytest.ini", text: "[pytest]\nmarkers =\n  slow: takes long", known: "slow"},
		{name: "pytest.ini that ends at the key", file: "pytest.ini", text: "[pytest]\nmarkers ="},
		{name: "DOS line ends", file: "pytest.ini", text: "[pytest]\r\nmarkers =\r\n    slow: takes long\r\n", known: "slow"},
		{name: "tox.ini", file: "tox.ini", text: "[tox]\nenvlist = py313\n\n[pytest]\nmarkers =\n\tslow: takes long\n\n[testenv]\nmarkers = none of ours\n", known: "slow"},
		{name: "setup.cfg", file: "setup.cfg", text: "[metadata]\nname = x\n[tool:pytest]\nmarkers: slow\n", known: "slow"},
		{name: "pyproject.toml with a list", file: "pyproject.toml", text: "[tool.pytest.ini_options]\nmarkers = [ # ours\n    \"slow: takes long\",\n]\n", known: "slow"},
		{name: "pyproject.toml with a list in one line", file: "pyproject.toml", text: "[tool.pytest.ini_options]\nmarkers = [\"slow: takes [long]\"]\n\n[project]\nname = \"x\"\n", known: "slow"},
		{name: "pyproject.toml with an empty list", file: "pyproject.toml", text: "[tool.pytest.ini_options]\nmarkers = []\n"},
		{name: "pyproject.toml with a string", file: "pyproject.toml", text: "[tool.pytest.ini_options]\nmarkers = \"\"\"\n    slow: takes long\n\"\"\"\n", known: "slow"},
		{name: "pyproject.toml without markers", file: "pyproject.toml", text: "[tool.pytest.ini_options]\naddopts = \"-q\"\n\n[project]\nmarkers = [\"none of ours\"]\n"},
		{name: "pyproject.toml without pytest", file: "pyproject.toml", text: "[project]\nname = \"x\"\nversion = \"1\""},
		{name: "pyproject.toml with a string in one line", file: "pyproject.toml", text: "[tool.pytest.ini_options]\nmarkers = \"slow: takes long\"\n", byHand: true},
		{name: "pyproject.toml with the table spelt otherwise", file: "pyproject.toml", text: "[tool]\npytest.ini_options.addopts = \"-q\"\n", byHand: true},
	} {
		t.Run(c.name, func(t *testing.T) {
			root := t.TempDir()
			ini := ""
			if c.file != "" {
				ini = filepath.Join(root, c.file)
				if err := os.WriteFile(ini, []byte(c.text), 0o666); err != nil {
					t.Fatal(err)
				}
			}
			change, err := register(root, ini, []string{"memory_intensive", "huge"})
			if err != nil {
				t.Fatal(err)
			}
			if change.byHand != c.byHand {
				t.Fatalf("by hand: %t, want %t", change.byHand, c.byHand)
			}
			if c.byHand {
				return
			}
			command := func(name string, args ...string) *exec.Cmd {
				cmd := exec.Command(name, args...)
				cmd.Dir = root
				return cmd
			}
			if out, err := command(git, "init", "-q").CombinedOutput(); err != nil {
				t.Fatalf("%v: %s", err, out)
			}
			diff, err := change.diff()
			if err != nil {
				t.Fatal(err)
			}
			apply := command(git, "apply", "-")
			apply.Stdin = bytes.NewReader(diff)
			if out, err := apply.CombinedOutput(); err != nil {
				t.Fatalf("git apply: %v: %s\n%s", err, out, diff)
			}
			out, err := command(pytest.Argv[0], append(pytest.Argv[1:], "--markers")...).CombinedOutput()
			if err != nil {
				t.Fatalf("pytest --markers: %v: %s\n%s", err, out, diff)
			}
			for _, want := range []string{"memory_intensive: marks tests as memory-intensive (deselect with '-m \"not memory_intensive\"')", "huge: ", c.known} {
				if want != "" && !strings.Contains(string(out), "@pytest.mark."+want) {
					t.Errorf("pytest knows no marker %s:\n%s\n%s", want, out, diff)
				}
			}
			if lines := strings.Count(string(diff), "\r\n"); strings.Contains(c.text, "\r\n") && lines < 4 {
				t.Errorf("the patch has %d lines with DOS ends:\n%q", lines, diff)
			}
		})
	}
}

func TestAlike(t *testing.T) {
	for _, c := range []struct {
		a, b string
		want bool
	}{
		{"memory_intensive", "memory_intensive", true},
		{"memory_intensiv", "memory_intensive", true},
		{"memory-intensive", "memory_intensive", true},
		{"MemoryIntensive", "memory_intensive", true},
		{"memroy_intensive", "memory_intensive", true},
		{"memory_extensive", "memory_intensive", true},
		{"cpu_intensive", "memory_intensive", false},
		{"memory", "memory_intensive", false},
		{"slow", "memory_intensive", false},
	} {
		if got := alike(c.a, c.b); got != c.want {
			t.Errorf("alike(%q, %q) = %t, want %t", c.a, c.b, got, c.want)
		}
	}
}
