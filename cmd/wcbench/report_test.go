package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"
)

// What README shows of wcbench suites is what was measured, and the README here lists
// these suites. UPDATE_README=1 writes both anew from testdata/suites.json, which has
// the rows that wcbench suites --json printed.
func TestReadmeSuites(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("testdata", "suites.json"))
	if err != nil {
		t.Fatal(err)
	}
	var report suiteReport
	if err := json.Unmarshal(text, &report); err != nil {
		t.Fatal(err)
	}
	if err := faults(report.Rows); err != nil || len(report.Rows) == 0 {
		t.Errorf("%d rows, %v", len(report.Rows), err)
	}
	var figures, list strings.Builder
	report.figures(&figures)
	report.list(&list)
	readme := filepath.Join("..", "..", "README.md")
	keepPart(t, readme, "suites", figures.String())
	keepPart(t, readme, "gain", wrap(report.gain(), "  ", 128)+"  ")
	keepPart(t, "README.md", "list of suites", list.String())
}

// keepPart fails where the marked part of a file says something else, or writes it anew.
func keepPart(t *testing.T, name, part, want string) {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	begin, end := "<!-- "+part+" -->\n", "<!-- end "+part+" -->"
	before, rest, found := strings.Cut(string(text), begin)
	have, after, ended := strings.Cut(rest, end)
	switch {
	case !found || !ended:
		t.Errorf("%s has no %q … %q", name, begin, end)
	case have == want:
	case os.Getenv("UPDATE_README") == "":
		t.Errorf("%s has other figures of wcbench suites; write them anew with UPDATE_README=1 go test ./cmd/wcbench -run TestReadme. Want\n%s", name, want)
	default:
		if err := os.WriteFile(name, []byte(before+begin+want+end+after), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// wrap breaks a text into indented lines of at most so many letters.
func wrap(text, indent string, width int) string {
	var b strings.Builder
	line := indent
	for _, word := range strings.Fields(text) {
		if line != indent && utf8.RuneCountInString(line+word) >= width {
			b.WriteString(line + "\n")
			line = indent
		}
		if line != indent {
			line += " "
		}
		line += word
	}
	return b.String() + line + "\n"
}

func TestMarkdown(t *testing.T) {
	report := suiteReport{
		Date: "2026-11-23", Machine: "a core", Packages: []string{"pytest==9.2.0"}, Suites: map[string]suiteNote{"quick": {"a small one", "--suites quick", []string{"a==1"}}, "a": {"named by --module", "--module a --packages b -- c", []string{"b"}}},
		Rows: []suiteRow{
			{Suite: "quick", Planner: "wcshard", Shards: 2, Tests: 9, Longest: 2, Sum: 3, Plan: 0.5, Bound: 1.6, Errors: []float64{0.1, 0.3}},
			{Suite: "quick", Planner: "peer", Shards: 2, Tests: 9, Longest: 4, Sum: 6, Lost: 1, Wrong: []string{"job 1"}},
			{Suite: "quick", Planner: "other", Shards: 2, Reason: "it knows no files"},
			{Suite: "quick", Planner: "wcshard", Shards: 4, Rounds: 2, Recordings: 3, Tests: 9, Longest: 1, Sum: 3, Bound: 1},
			{Suite: "quick", Planner: "other", Shards: 4, Reason: "it knows no files"},
		},
	}
	var b strings.Builder
	report.markdown(&b)
	for _, want := range []string{
		"| suite | N | plan | bound | wcshard | peer | predicted off by |\n|---|---|---|---|---|---|---|\n",
		"| quick, 9 tests | 2 | 0.5 | 1.6 | 2.0 / 3 | 4.0 / 6, 1 lost, 1 wrong exit | 20 %, at most 30 % |\n",
		"| quick, 9 tests, from 3 recorded runs, median of 2 runs | 4 | 0.0 | 1.0 | 1.0 / 3 |  |  |\n",
		"mean of the 2 lines above\n                                     over wcshard's  over the bound\n  wcshard                                  1.00            1.12  ########################################\n  peer                                        -               -\n",
		"`\n\n* other: no figures: it knows no files\n\n2026-11-23, a core, pytest==9.2.0\n\n* a: named by --module: `--module a --packages b -- c`\n* quick: a small one: `--suites quick` (a==1)\n",
	} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("%q is not in\n%s", want, b.String())
		}
	}
}

// The best rival is the best of those that ran each test once.
func TestGain(t *testing.T) {
	row := func(suite, planner string, longest, plan float64, doubled int) suiteRow {
		return suiteRow{Suite: suite, Planner: planner, Shards: 4, Longest: longest, Plan: plan, Doubled: doubled}
	}
	report := suiteReport{Rows: []suiteRow{
		row("a", "wcshard", 2, 2, 0), row("a", "peer", 4, 0, 0), row("a", "other", 1, 0, 3),
		row("b", "wcshard", 8, 8, 0), row("b", "peer", 4, 0, 0), row("b", "other", 5, 0, 0),
		row("c", "wcshard", 1, 1, 0), row("c", "peer", 9, 0, 1),
	}}
	const want = "In 2 comparisons (2 suites, over 4 jobs) wcshard's longest job took 1.00 of the time of the best rival's (geometric mean; from 0.50 to 2.00). It was the shortest in 1 of them. With the plan, which takes 2 to 8 s before the jobs start, it took 2.00: "
	if got := report.gain(); !strings.HasPrefix(got, want) {
		t.Errorf("gain() = %q, want %q", got, want)
	}
}
