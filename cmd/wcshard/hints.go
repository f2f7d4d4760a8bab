package main

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
	"syscall"

	"github.com/wcshard/wcshard/shard"
	"github.com/wcshard/wcshard/shard/pytest"
	"github.com/wcshard/wcshard/timing"
	"github.com/wcshard/wcshard/timing/artifact"
)

const hintNewer = "a newer wcshard wrote it: update the one that is called here"

// advise adds the next step to an error.
func advise(err error, hint string) error {
	if err == nil {
		return nil
	}
	return &failure{err: err, hint: hint}
}

// causes returns an error and all that it wraps, outermost first.
func causes(err error) []error {
	all := []error{err}
	switch e := err.(type) {
	case interface{ Unwrap() error }:
		if inner := e.Unwrap(); inner != nil {
			all = append(all, causes(inner)...)
		}
	case interface{ Unwrap() []error }:
		for _, inner := range e.Unwrap() {
			all = append(all, causes(inner)...)
		}
	}
	return all
}

// hints collects the next steps along the chain of causes, outermost first.
// Where nobody on the way had one, the kind of the cause suggests one.
func hints(err error) []string {
	var all []string
	for _, cause := range causes(err) {
		hint := ""
		switch e := cause.(type) {
		case *failure:
			hint = e.hint
		case *pytest.HintError:
			hint = e.Hint
		case *artifact.Error:
			hint = e.Hint
		case *shard.TooLargeError:
			hint = fmt.Sprintf("pass --memory-runner LABEL --memory-runner-memory %dGiB for a runner that has so much, or make the test smaller", e.Memory>>30)
			if e.Kind == shard.Pool { // for what needs much memory it is no memory test: that goes by markers alone, or nearly so
				hint = fmt.Sprintf("make it a memory test, by a --memory-marker or by leaving out --memory-share, and pass --memory-runner LABEL --memory-runner-memory %dGiB for a runner that has so much; or make the test smaller", e.Memory>>30)
			}
		case *shard.TooManyRowsError:
			hint = fmt.Sprintf("pass --shards %d or less", shard.MaxRows)
			if e.Memory > 0 {
				hint = fmt.Sprintf("pass --max-memory-jobs to put several of the %d memory modules together, or a smaller --shards", e.Memory)
			}
		case *timing.SyntaxError:
			if e.Newer() {
				return []string{hintNewer} // the file is well
			}
		}
		if hint != "" {
			all = append(all, hint)
		}
	}
	if len(all) == 0 {
		all = append(all, lastHint(err))
	}
	return slices.DeleteFunc(all, func(hint string) bool { return hint == "" })
}

// lastHint is the next step that the kind of a cause alone suggests.
func lastHint(err error) string {
	var remote *artifact.Error
	switch {
	case errors.Is(err, syscall.ENOSPC):
		return "free some room on that disk, or name a place on another one (--plan, --results, --timings; TMPDIR for what is temporary)"
	case errors.Is(err, fs.ErrPermission), errors.Is(err, syscall.EROFS):
		return "see who may read and write there, or name another place (--plan, --results, --timings; TMPDIR for what is temporary)"
	case errors.As(err, &remote) && remote.Fault == artifact.Unreachable:
		return "try again; see whether the API can be reached from here (a proxy is taken from HTTPS_PROXY), and --api-url"
	}
	return ""
}

// showOutput prints what pytest said where an error is that it ended badly.
func (sys *system) showOutput(err error) {
	var died *pytest.ExitError
	if errors.As(err, &died) {
		open := sys.fence(sys.stderr)
		fmt.Fprint(sys.stderr, died.Output)
		open()
	}
}

// adviseOn says what to do about a verdict that is not complete, or not green.
func (sys *system) adviseOn(plan *shard.Plan, v *shard.Verdict) {
	sys.adviseOnParts(plan, v)
	for _, r := range v.Refused {
		if timing.IsNewer(r.Reason) {
			sys.say("hint: %s", hintNewer)
			return
		}
	}
	var silent []string
	elsewhere := false // one of them reported in an earlier run
	for _, s := range v.Shards {
		if !s.Reported {
			silent = append(silent, s.Name)
			elsewhere = elsewhere || slices.ContainsFunc(v.Earlier, func(x shard.EarlierFile) bool { return slices.Contains(x.Shards, s.Name) })
		}
	}
	if n := len(silent); n > 0 {
		if n > maxNamed {
			silent = append(silent[:maxNamed], fmt.Sprintf("%d more", n-maxNamed))
		}
		sys.say("hint: look at the log of the job of %s: it did not start, was cancelled or lost its runner; or its results are where this did not look", strings.Join(silent, ", "))
	}
	if elsewhere {
		sys.say("hint: or it ran as another run: what is to count together is run with the same --run-id, here %s", printable(pytest.JoinWords(v.Run)))
	}
	if missing(v, shard.NotImported) > 0 {
		sys.say("hint: the log of such a shard says why its file could not be imported")
	}
	if notFound(v)+len(v.Unplanned) > 0 {
		sys.say("hint: some shards found other tests than were planned: if arguments for pytest deselect them, leave those out; else %s", sys.otherTests())
	}
	if len(v.Refused) > 0 {
		sys.say("hint: remove a file that does not count where its shard has other results, else run the shard again")
	}
}

// adviseOnParts says what the first failure may be in parts of a suite that went whole
// before.
func (sys *system) adviseOnParts(plan *shard.Plan, v *shard.Verdict) {
	before := slices.ContainsFunc(plan.Shards, func(s shard.Shard) bool { return s.Basis.Measured+s.Basis.Relatives > 0 })
	i := slices.IndexFunc(v.Failures, func(f shard.Failure) bool { return f.Outcome == timing.Failed || f.Outcome == timing.Error })
	if before || i < 0 || len(plan.Shards) == 1 {
		return
	}
	id := v.Failures[i].ID
	alone := path.Join(plan.Collector.Root, id.File())
	if parted(plan, id.File()) {
		alone += id.Rest()
	}
	sys.say("hint: this plan rests on no earlier run: where %s passes in the whole suite and fails in pytest %s, it wants what others leave behind, which are in other jobs now; that has to be in a fixture or a conftest.py",
		printable(string(id)), printable(pytest.JoinWords(alone)))
}

// parted reports whether several shards have tests of a file.
func parted(plan *shard.Plan, file string) bool {
	n := 0
	for i := range plan.Shards {
		if slices.ContainsFunc(plan.Shards[i].Pieces, func(p shard.Piece) bool { return p.File == file }) {
			n++
		}
	}
	return n > 1
}

// maxNamed is how many shards a hint names.
const maxNamed = 3
