package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/wcshard/wcshard/shard"
	"github.com/wcshard/wcshard/shard/pytest"
	"github.com/wcshard/wcshard/timing"
	"github.com/wcshard/wcshard/timing/artifact"
)

func TestHints(t *testing.T) {
	full := &fs.PathError{Op: "write", Path: "x", Err: syscall.ENOSPC}
	newerPlan := &timing.SyntaxError{File: "x", Line: 1, Msg: timing.NewerVersion(2, 1)}
	for name, c := range map[string]struct {
		err  error
		want []string // words of each hint
	}{
		"none":              {errors.New("x"), nil},
		"disk full":         {fmt.Errorf("writing: %w", full), []string{"free some room"}},
		"disk full, joined": {errors.Join(errors.New("x"), full), []string{"free some room"}},
		"read only":         {&os.LinkError{Op: "rename", Old: "x", New: "y", Err: syscall.EROFS}, []string{"name another place"}},
		"forbidden":         {&fs.PathError{Op: "open", Path: "x", Err: syscall.EACCES}, []string{"name another place"}},
		"unreachable":       {&artifact.Error{Fault: artifact.Unreachable, Err: errors.New("x")}, []string{"HTTPS_PROXY"}},
		"own hint first":    {advise(fmt.Errorf("writing: %w", full), "do this"), []string{"do this"}},
		"outermost first":   {advise(&pytest.HintError{Err: errors.New("x"), Hint: "inner"}, "outer"), []string{"outer", "inner"}},
		"two causes":        {fmt.Errorf("%w: %w", advise(errors.New("x"), "one"), advise(errors.New("y"), "two")), []string{"one", "two"}},
		"newer":             {advise(fmt.Errorf("reading: %w", newerPlan), "make a new one"), []string{"update"}},
	} {
		got := hints(c.err)
		if !slices.EqualFunc(got, c.want, strings.Contains) {
			t.Errorf("%s: hints %q, want %q", name, got, c.want)
		}
	}
}

// A status within is not hidden by an error around it that has a hint only.
func TestExitStatusWithin(t *testing.T) {
	inner := &failure{status: exitData, err: errors.New("x")}
	for name, err := range map[string]error{
		"hint around": advise(fmt.Errorf("reading: %w", inner), "do this"),
		"joined":      errors.Join(errors.New("y"), inner),
	} {
		if got := exitStatus(err); got != exitData {
			t.Errorf("%s: status %d, want %d", name, got, exitData)
		}
	}
	if got := exitStatus(&failure{status: exitUsage, err: inner}); got != exitUsage {
		t.Errorf("the outermost status counts: %d, want %d", got, exitUsage)
	}
}

// That a test may lean on others is said where the suite may not have been parted before,
// and of no test that passed.
func TestAdviseOnFirstFailures(t *testing.T) {
	for _, c := range []struct {
		basis   shard.Basis
		shards  int
		outcome timing.Outcome
		said    bool
	}{
		{shard.Basis{Guessed: 1}, 2, timing.Failed, true}, {shard.Basis{}, 2, timing.Error, true}, {shard.Basis{}, 2, timing.XPassed, false},
		{shard.Basis{Measured: 1}, 2, timing.Failed, false}, {shard.Basis{Relatives: 1}, 2, timing.Failed, false}, {shard.Basis{}, 1, timing.Failed, false},
	} {
		var out strings.Builder
		plan := &shard.Plan{Shards: make([]shard.Shard, c.shards)}
		plan.Shards[c.shards-1].Basis = c.basis
		plan.Collector.Root = ".."
		v := &shard.Verdict{Failures: []shard.Failure{{ID: "a b.py::test_x", Outcome: c.outcome}}}
		(&system{stderr: &out}).adviseOn(plan, v)
		if said := strings.Contains(out.String(), "where a b.py::test_x passes in the whole suite and fails in pytest '../a b.py', it wants"); said != c.said || !c.said && out.Len() > 0 {
			t.Errorf("%+v: said %q", c, &out)
		}
	}
	var out strings.Builder
	plan := &shard.Plan{Shards: []shard.Shard{{Pieces: []shard.Piece{{File: "a.py"}}}, {Pieces: []shard.Piece{{File: "a.py"}}}}}
	v := &shard.Verdict{Failures: []shard.Failure{{ID: "a.py::test_x[1]", Outcome: timing.Failed}}}
	(&system{stderr: &out}).adviseOn(plan, v)
	if want := "fails in pytest 'a.py::test_x[1]', it wants"; !strings.Contains(out.String(), want) {
		t.Errorf("of a file in two jobs it says %q, want %q", &out, want)
	}
}
