package main

import (
	"fmt"
	"io"
	"regexp"
	"strings"
	"unicode/utf8"

	"github.com/wcshard/wcshard/shard"
	"github.com/wcshard/wcshard/shard/pytest"
	"github.com/wcshard/wcshard/timing"
)

// listIDs is how pytest lists node IDs, whatever addopts says of its verbosity.
const listIDs = "pytest --collect-only --verbosity=-1 | grep ::"

// notAnID matches what is no node ID: JSON, and what pytest --collect-only prints
// around them.
var notAnID = regexp.MustCompile(`^(\d+(/\d+)? tests? collected|no tests (collected|ran)|=+ |<(Dir|Package|Module|Class|Function)|ERROR |[{\[])`)

// naturalOrder marks tests from a list: its order says nothing, so that the
// same tests in any order give the same plan.
const naturalOrder = "natural"

// readIDs reads node IDs, one a line.
func readIDs(sys *system, name string, args []string) (*pytest.Collection, error) {
	file, err := sys.open(name)
	if err != nil {
		if absent(err) {
			err = advise(err, "make the list with "+listIDs+" >FILE")
		}
		return nil, err
	}
	defer file.Close()
	tests, err := nodeIDs(file, idsName(name))
	return &pytest.Collection{Tests: tests, Collector: shard.Collector{Args: args, Order: naturalOrder}}, err
}

// idsName is what messages call a list.
func idsName(name string) string {
	if name == "-" {
		return "standard input"
	}
	return name
}

func nodeIDs(r io.Reader, name string) ([]pytest.CollectedTest, error) {
	var tests []pytest.CollectedTest
	err := readLines(r, name, func(n int, text string) error {
		if n == 1 {
			text = strings.TrimPrefix(text, "\ufeff")
		}
		switch {
		case strings.TrimSpace(text) == "":
		case !utf8.ValidString(text) || strings.ContainsRune(text, 0):
			return advise(&timing.SyntaxError{File: name, Line: n, Msg: fmt.Sprintf("%.60q is not a node ID: want UTF-8 without NUL", text)}, "write the list anew, as UTF-8: "+listIDs)
		case notAnID.MatchString(text), !strings.Contains(text, "::") && strings.Contains(text, " "):
			return &failure{err: &timing.SyntaxError{File: name, Line: n, Msg: fmt.Sprintf("%.60q is not a node ID", text)},
				hint: "keep the node IDs only: " + listIDs}
		default:
			tests = append(tests, pytest.CollectedTest{ID: timing.NodeID(text)})
		}
		return nil
	})
	return tests, err
}

// warnRepeats says that a list names a test twice, which no run can prove unless
// pytest has two tests of that name. The plan has namesakes side by side.
func warnRepeats(sys *system, plan *shard.Plan, ids string) {
	repeats, example := 0, ""
	for i := range plan.Shards {
		for _, piece := range plan.Shards[i].Pieces {
			for k := 1; k < len(piece.Tests); k++ {
				if piece.Tests[k] == piece.Tests[k-1] {
					repeats++
					example = piece.File + piece.Tests[k]
				}
			}
		}
	}
	if repeats > 0 {
		sys.warn("%s names %s more than once, such as %s: a run is complete only if pytest has as many of that name", ids, count(repeats, "test"), printable(example))
	}
}
