package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/wcshard/wcshard/cmd/wcshard/internal/actions"
	"github.com/wcshard/wcshard/shard"
	"github.com/wcshard/wcshard/timing"
)

// bigReport is a report in which everything went wrong for n tests with the
// longest names there are.
func bigReport(n int) report {
	v := &shard.Verdict{Planned: n, Outcomes: map[timing.Outcome]int{timing.Failed: n}}
	plan := &shard.Plan{}
	for i := range shard.MaxRows {
		name := fmt.Sprintf("mem-%056d", i)
		plan.Shards = append(plan.Shards, shard.Shard{Name: name})
		v.Shards = append(v.Shards, shard.ShardVerdict{Name: name, Reported: true, Planned: 1, Running: []timing.NodeID{"a"}})
	}
	for i := range n {
		id := timing.NodeID(fmt.Sprintf("tests/test_%d.py::test[%s]", i, strings.Repeat("|", 1000)))
		v.Failures = append(v.Failures, shard.Failure{ID: id, Shard: v.Shards[0].Name, Message: strings.Repeat("<", 1000), Path: "a.py", Line: i + 1})
		v.Missing = append(v.Missing, shard.Missing{ID: id, Shard: v.Shards[0].Name, Reason: shard.NotReached})
		v.Doubled = append(v.Doubled, shard.Doubled{ID: id, Times: 2, Shards: []string{"a", "b"}})
		v.Unplanned = append(v.Unplanned, shard.Unplanned{ID: id, Shard: "a"})
	}
	return report{title: "wcshard", plan: plan, verdict: v, again: again(new(system), verifyOptions{plan: defaultPlan}, v)}
}

// TestSummarySize holds the worst summary to its limit, with what matters most
// in it.
func TestSummarySize(t *testing.T) {
	r := bigReport(1000)
	text := r.summary(1 << 30)
	if len(text) > actions.MaxSummary {
		t.Errorf("the summary has %d bytes, want at most %d", len(text), actions.MaxSummary)
	}
	for _, want := range []string{"incomplete", "Failures", "Lost tests", "… and 900 more", "left out"} {
		if !strings.Contains(text, want) {
			t.Errorf("the summary of %d bytes does not say %q", len(text), want)
		}
	}
	short := r.summary(4000)
	if len(short) > 4000 || !strings.Contains(short, "left out") {
		t.Errorf("with room for 4000 bytes the summary has %d", len(short))
	}
}

// A failure of which no place is known is put down to its test's file, which a node ID
// names as seen from pytest's root.
func TestAnnotationOfCrash(t *testing.T) {
	sub := filepath.Join(t.TempDir(), "sub")
	if err := os.Mkdir(sub, 0o777); err != nil {
		t.Fatal(err)
	}
	t.Chdir(sub)
	sys := &system{environ: []string{"GITHUB_WORKSPACE=" + filepath.Dir(sub)}}
	for root, want := range map[string]string{".": "sub/a/test_a.py", "": "sub/a/test_a.py", "..": "a/test_a.py"} {
		file, line := sys.place(shard.Collector{Root: root}, shard.Failure{ID: "a/test_a.py::x"})
		if file != want || line != 0 {
			t.Errorf("with root %q it is at %s:%d, want %s", root, file, line, want)
		}
	}
	if in := sys.inRepository("", "."); in != "sub" {
		t.Errorf("this folder is %q in the repository, want sub", in)
	}
	// The gate is at the top.
	t.Chdir(filepath.Dir(sub))
	for _, f := range []shard.Failure{{ID: "a/test_a.py::x"}, {ID: "a/test_b.py::x", Path: "a/test_a.py", Line: 3}} {
		file, line := sys.place(shard.Collector{Root: ".", Folder: "sub"}, f)
		if file != "sub/a/test_a.py" || line != f.Line {
			t.Errorf("%v is at %s:%d, want sub/a/test_a.py:%d", f, file, line, f.Line)
		}
	}
}

// TestAnnotationsLimit: GitHub shows the first ten errors of a step.
func TestAnnotationsLimit(t *testing.T) {
	got := new(system).annotations(bigReport(1000))
	if len(got) != actions.MaxAnnotations {
		t.Fatalf("there are %d annotations, want %d", len(got), actions.MaxAnnotations)
	}
	if !strings.HasPrefix(got[0].Message, "incomplete") || got[1].File != "a.py" || got[1].Line != 1 {
		t.Errorf("the first annotations are %+v, want the incomplete run and the first failure", got[:2])
	}
}

// TestPrintable: a log takes "##[" for a command wherever it stands.
func TestPrintable(t *testing.T) {
	for text, want := range map[string]string{
		"a ##[add-mask]b":        `a ##\[add-mask]b`,
		"\n::error::a":           `\n::error::a`,
		"test_é[x]":              "test_é[x]",
		"\x1b[31m##[group]":      `\x1b[31m##\\[group]`,
		"##[##[stop-commands]a]": `##\[##\[stop-commands]a]`,
	} {
		if got := printable(text); got != want {
			t.Errorf("printable(%q) = %q, want %q", text, got, want)
		}
	}
}
