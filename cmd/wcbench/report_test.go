package main

import (
	"strings"
	"testing"
)

func TestMarkdown(t *testing.T) {
	report := suiteReport{
		Date: "2026-11-23", Machine: "a core", Packages: []string{"pytest==9.2.0"}, Suites: map[string][]string{"quick": {"a/tests", "a==1"}},
		Rows: []suiteRow{
			{Suite: "quick", Planner: "wcshard", Shards: 2, Tests: 9, Longest: 2, Sum: 3, Bound: 1.6, Errors: []float64{0.1, 0.3}},
			{Suite: "quick", Planner: "peer", Shards: 2, Tests: 9, Longest: 4, Sum: 6, Lost: 1, Wrong: []string{"job 1"}},
			{Suite: "quick", Planner: "other", Shards: 2, Reason: "it knows no files"},
			{Suite: "quick", Planner: "wcshard", Shards: 4, Tests: 9, Longest: 1, Sum: 3, Bound: 1},
			{Suite: "quick", Planner: "other", Shards: 4, Reason: "it knows no files"},
		},
	}
	var b strings.Builder
	report.markdown(&b)
	for _, want := range []string{
		"| quick, 9 tests | 2 | wcshard | 2.0 s | 1.25 | 3 s | 0 | 0 | 0 | 20 %, at most 30 % |\n",
		"|  |  | peer | 4.0 s | 2.50 | 6 s | 1 | 0 | 1 |  |\n",
		"  wcshard                               2.0  ####################\n  peer                                  4.0  ########################################\nquick over 4 jobs",
		"`\n\n* other: no figures: it knows no files\n* quick: ",
		": `a/tests a==1`\n\n2026-11-23, a core, pytest==9.2.0\n",
	} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("%q is not in\n%s", want, b.String())
		}
	}
}
