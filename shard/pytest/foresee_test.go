package pytest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/wcshard/wcshard/shard"
	"github.com/wcshard/wcshard/timing"
)

// A foreseen session is what testdata/model/foresee.py reads.
type foreseen struct {
	Workers  int               `json:"workers"`
	Pieces   []pluginPiece     `json:"pieces"`
	Tests    map[string][2]any `json:"tests"`
	Setups   []int64           `json:"setups"`
	Fixtures []string          `json:"fixtures"` // by set-up
	Files    []string          `json:"files"`    // by set-up: whose module it is of, or ""

	wall int64 // as planned
}

// What a plan says that its jobs take is what a session takes that runs as the
// plan says, when each test and set-up takes what was expected: with the
// plugin's own schedule, and what it keeps together.
func TestForesight(t *testing.T) {
	oneOfFew(t)
	python := pytestIn(t, "new").Argv[0]
	var cases []foreseen
	units := 0
	for seed := range uint64(150) {
		cases = append(cases, foresee(t, rand.New(rand.NewPCG(seed, 8)))...)
	}
	walls := sessionWalls(t, python, cases)
	for i, c := range cases {
		if walls[i] != c.wall {
			t.Errorf("case %d: the session takes %d µs, the plan says %d: %+v", i, walls[i], c.wall, c)
		}
		for _, p := range c.Pieces {
			if p.Units != nil {
				units++
			}
		}
	}
	if units < 50 {
		t.Errorf("%d pieces of %d jobs have units: too few to say anything", units, len(cases))
	}
}

// sessionWalls returns what sessions take with the plugin's schedule, microseconds.
func sessionWalls(t *testing.T, python string, cases []foreseen) []int64 {
	t.Helper()
	input, err := json.Marshal(cases)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), python, "-B", filepath.Join("testdata", "model", "foresee.py"), ".")
	cmd.Stdin = bytes.NewReader(input)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	output, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v: %s", err, &stderr)
	}
	var walls []int64
	if err := json.Unmarshal(output, &walls); err != nil || len(walls) != len(cases) {
		t.Fatalf("%d walls of %d: %v", len(walls), len(cases), err)
	}
	return walls
}

// Slow tests are not sent ahead with the quick ones that come before them: those of the
// next file that is cut, of whole files behind a cut one, and behind a file that is as
// long as they are for its many tests.
func TestSlowTestsWait(t *testing.T) {
	oneOfFew(t)
	type tests struct {
		seconds float64
		count   int
	}
	var cases []foreseen
	var names []string
	var wants []time.Duration
	add := func(name string, want time.Duration, cut bool, files ...[]tests) {
		c := foreseen{Workers: 2, Tests: map[string][2]any{}, Setups: []int64{}, Fixtures: []string{}, Files: []string{}}
		for f, file := range files {
			piece := pluginPiece{File: fmt.Sprintf("f%d.py", f), Cut: cut && f < 2}
			for _, kind := range file {
				for range kind.count {
					name := fmt.Sprintf("::t%d", len(piece.Tests))
					piece.Tests = append(piece.Tests, name)
					c.Tests[piece.File+name] = [2]any{int64(kind.seconds * 1e6), []int{}}
				}
			}
			c.Pieces = append(c.Pieces, piece)
		}
		cases, names, wants = append(cases, c), append(names, name), append(wants, want)
	}
	add("behind a cut file", 181*time.Second, true, []tests{{90, 1}, {0.001, 200}}, []tests{{60, 4}, {0.001, 60}})
	whole := [][]tests{{{30, 1}, {0.001, 200}}, {{0.001, 100}}}
	long := [][]tests{{{0.01, 600}}, {{0.01, 600}}}
	for k := range 64 {
		if k < 4 {
			whole, long = append(whole, []tests{{40, 1}}), append(long, []tests{{6, 1}})
		} else {
			whole, long = append(whole, []tests{{0.5, 1}}), append(long, []tests{{0.05, 1}})
		}
	}
	add("whole files behind cut ones", 115*time.Second, true, whole...)     // 220 s of tests
	add("behind files of many quick tests", 22*time.Second, false, long...) // 39 s
	for i, wall := range sessionWalls(t, pytestIn(t, "new").Argv[0], cases) {
		if took := time.Duration(wall) * time.Microsecond; took > wants[i] {
			t.Errorf("%s: the session takes %v, want at most %v", names[i], took, wants[i])
		}
	}
}

// foresee plans a random suite of tests longer than what the schedule sends
// ahead, and returns its jobs.
func foresee(t *testing.T, r *rand.Rand) []foreseen {
	suite := shard.Suite{Base: time.Second}
	c := foreseen{Tests: map[string][2]any{}, Setups: []int64{}, Fixtures: []string{}, Files: []string{}}
	files, setups := 1+r.IntN(8), r.IntN(12)
	parameters := min(setups, r.IntN(4)*r.IntN(2)) // of a fixture, of which each test needs at most one
	for s := range setups {
		c.Setups = append(c.Setups, 1000*r.Int64N(1+int64(r.IntN(3000))))
		id, fixture, file := fmt.Sprintf("s%d", s), fmt.Sprintf("s%d", s), ""
		if s < parameters {
			fixture = "session ::p"
			id = fmt.Sprintf("%s[%d]", fixture, s)
		} else if r.IntN(3) == 0 {
			file = fmt.Sprintf("f%d.py", r.IntN(files))
			id = "module " + file + "::" + id
		}
		c.Fixtures, c.Files = append(c.Fixtures, fixture), append(c.Files, file)
		suite.Setups = append(suite.Setups, shard.Setup{ID: timing.SetupID(id), Cost: time.Duration(c.Setups[s]) * time.Microsecond})
	}
	for k := range 1 + r.IntN(60) {
		file := fmt.Sprintf("f%d.py", r.IntN(files))
		id := fmt.Sprintf("%s::t%d", file, k)
		cost := 100_000 + r.Int64N(1+r.Int64N(2_000_000))
		needs := []int{}
		if parameters > 0 && r.IntN(2) == 0 {
			needs = append(needs, r.IntN(parameters))
		}
		for s := parameters; s < setups; s++ {
			if r.IntN(4) == 0 && (c.Files[s] == "" || c.Files[s] == file) {
				needs = append(needs, s)
			}
		}
		c.Tests[id] = [2]any{cost, needs}
		suite.Tests = append(suite.Tests, shard.Test{ID: timing.NodeID(id), Order: k, Setups: needs, Estimate: timing.Estimate{Wall: time.Duration(cost) * time.Microsecond}})
	}
	plan, err := shard.Pack(suite, shard.Fleet{Shards: 1 + r.IntN(3), CPUs: 1 + r.IntN(5)})
	if err != nil {
		t.Fatal(err)
	}
	var jobs []foreseen
	for _, s := range plan.Shards {
		job := c
		job.Workers, job.wall = s.Workers, (s.Wall - suite.Base).Microseconds()
		for _, piece := range s.Pieces {
			job.Pieces = append(job.Pieces, newPluginPiece(piece))
		}
		jobs = append(jobs, job)
	}
	return jobs
}
