package pytest

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/wcshard/wcshard/shard"
	"github.com/wcshard/wcshard/timing"
)

var update = flag.Bool("update", false, "rewrite golden files")

// The plugin's own words, with its numbers made equal, are the contract with
// package timing, which must be able to read them.
func TestGolden(t *testing.T) {
	for _, test := range []struct {
		name    string
		workers int
	}{{"results-main", 1}, {"results-workers", 2}} {
		t.Run(test.name, func(t *testing.T) {
			oneOfFew(t)
			p := proof{command: pytestIn(t, "new"), dir: suite(t, "golden")}
			c := p.collect(t)
			plan, s := one(c, test.workers, false)
			piece := &s.Pieces[0]
			piece.Tests = append(piece.Tests[:len(piece.Tests)-1], "::test_gone") // for test_unplanned
			if test.workers == 1 {
				piece.Tests = append(piece.Tests[:len(piece.Tests)-2], "::test_gone") // without test_dies
			}
			plan.Shards[0] = s
			sel, err := Select(plan, s.Name)
			if err != nil {
				t.Fatal(err)
			}
			if test.workers == 1 {
				sel.Elsewhere = []timing.NodeID{"test_golden.py::test_dies"}
			}
			results := newResults(t, "pool-1")
			if _, err := Run(t.Context(), p.command, RunOptions{
				Dir: p.dir, Env: testEnv(), Selection: sel, Workers: test.workers, Results: results,
			}); err != nil {
				t.Fatal(err)
			}
			readResults(t, results)
			compareGolden(t, filepath.Join("testdata", test.name+".jsonl"), normal(t, results))
		})
	}
}

// The collection, as the plugin writes it.
func TestGoldenCollection(t *testing.T) {
	oneOfFew(t)
	command := pytestIn(t, "new")
	p, err := newPlugin()
	if err != nil {
		t.Fatal(err)
	}
	defer p.remove()
	out := filepath.Join(p.dir, "out")
	config := pluginConfig{Mode: "collect", Out: out, Given: []string{}, Added: []string{}, Seed: new(int64(1)), Pieces: []pluginPiece{}}
	if err := p.configure(config); err != nil {
		t.Fatal(err)
	}
	cmd := execIn(t, suite(t, "golden"), p.env(testEnv()), command, []string{"-p" + pluginName, "--collect-only"})
	if output, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, output)
	}
	compareGolden(t, filepath.Join("testdata", "collection.jsonl"), normal(t, out))
}

var numbers = regexp.MustCompile(`"(\w+_us|floor|pid|before|peak|after|gw\d_us)":\d+`)

// normal makes durations, sizes and versions equal, and the order of what
// workers say when both speak.
func normal(t *testing.T, path string) []byte {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	for line := range strings.Lines(string(data)) {
		if !json.Valid([]byte(line)) {
			t.Fatalf("not JSON: %s", line)
		}
		if strings.HasPrefix(line, `{"t":"mem"`) {
			continue // when it was looked at is chance
		}
		line = numbers.ReplaceAllString(line, `"$1":1`)
		line = regexp.MustCompile(`(test_golden.py)":\d+`).ReplaceAllString(line, `$1":1`)
		line = regexp.MustCompile(`(::shared\[0\]"),\d+,\d+`).ReplaceAllString(line, `$1,1,1`)
		line = regexp.MustCompile(`("python"|"pytest"|"xdist"):"[^"]+"`).ReplaceAllString(line, `$1:"0"`)
		// Which worker is the quicker one is chance, and so is whether the
		// other one has anything to do.
		line = regexp.MustCompile(`gw\d`).ReplaceAllString(line, "gw0")
		if strings.Contains(line, `"t":"worker"`) && len(lines) > 0 && strings.Contains(strings.Join(lines, ""), line) {
			continue
		}
		if strings.Contains(line, `"t":"tail"`) && strings.Contains(strings.Join(lines, ""), line) {
			continue
		}
		lines = append(lines, line)
	}
	return []byte(strings.Join(lines, ""))
}

func compareGolden(t *testing.T, path string, got []byte) {
	t.Helper()
	if *update {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s differs; -update rewrites it. Got\n%s", path, got)
	}
}

// Select takes namesakes in turn, and tells which tests of its files are run
// elsewhere.
func TestSelect(t *testing.T) {
	plan := &shard.Plan{Shards: []shard.Shard{
		{Name: "a", Pieces: []shard.Piece{{File: "x.py", Tests: []string{"::t", "::u"}}}},
		{Name: "b", Pieces: []shard.Piece{{File: "x.py", Tests: []string{"::t", "::v", "::t"}}, {File: "y.py", Tests: []string{"::w"}}}},
		{Name: "c", Pieces: []shard.Piece{{File: "z.py", Tests: []string{"::t"}}, {File: "x.py", Tests: []string{"::t"}}}},
	}}
	for _, test := range []struct {
		names     []string
		elsewhere string
		turns     string
	}{
		{[]string{"a"}, `["x.py::t","x.py::v","x.py::t","x.py::t"]`, `{"x.py::t":[0]}`},
		{[]string{"b"}, `["x.py::t","x.py::u","x.py::t"]`, `{"x.py::t":[1,2]}`},
		{[]string{"c", "a"}, `["x.py::t","x.py::v","x.py::t"]`, `{"x.py::t":[3,0]}`},
		{[]string{"a", "b", "c"}, `null`, `{"x.py::t":[0,1,2,3]}`},
	} {
		sel, err := Select(plan, test.names...)
		if err != nil {
			t.Fatal(err)
		}
		elsewhere, _ := json.Marshal(sel.Elsewhere)
		turns, _ := json.Marshal(sel.Turns)
		if string(elsewhere) != test.elsewhere || string(turns) != test.turns {
			t.Errorf("Select(%q): elsewhere %s, turns %s, want %s, %s", test.names, elsewhere, turns, test.elsewhere, test.turns)
		}
	}
	for _, names := range [][]string{{"d"}, {"a", "a"}} {
		if _, err := Select(plan, names...); err == nil {
			t.Errorf("Select(%q): no error", names)
		}
	}
}
