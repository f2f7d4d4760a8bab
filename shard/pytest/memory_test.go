package pytest

import (
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/wcshard/wcshard/shard"
)

// needsProc skips where the system does not say what processes hold.
func needsProc(t *testing.T) {
	t.Helper()
	if runtime.GOOS != "linux" {
		t.Skip("only Linux tells the memory of processes as it is tested here")
	}
}

// A test's children count, those that live for a moment, too; what was forked
// and not touched does not count twice.
func TestChildren(t *testing.T) {
	needsProc(t)
	const mib = 1 << 20
	want := map[string][2]int64{ // least and most, MiB
		"test_nothing":     {0, 0},
		"test_child":       {140, 200},
		"test_pool":        {150, 260},
		"test_quick_child": {390, 470},
		"test_forked":      {0, 40},
		"test_after":       {0, 0},
	}
	for _, env := range []string{"old", "new"} {
		for _, workers := range []int{1, 2} {
			t.Run(fmt.Sprint(env, workers), func(t *testing.T) {
				oneOfFew(t)
				p := proof{command: pytestIn(t, env), dir: suite(t, "memory"), args: []string{"test_children.py"}}
				c := p.collect(t)
				plan, s := one(c, workers, true)
				o := p.shard(t, c, plan, s)
				if o.status != ExitOK || len(o.results.Tests) != len(want) {
					t.Fatalf("status %d, %d tests\n%s", o.status, len(o.results.Tests), o.output)
				}
				for _, test := range o.results.Tests {
					name := strings.TrimPrefix(test.ID.Rest(), "::")
					if got := test.Children >> 20; got < want[name][0] || got > want[name][1] {
						t.Errorf("%s: %d MiB in children, want %d to %d", name, got, want[name][0], want[name][1])
					}
				}
				for _, test := range o.results.Tests {
					if test.Sampled {
						t.Errorf("%s: sampled, want measured", test.ID)
					}
				}
				samples := map[string]int64{}
				for _, m := range o.results.Memory {
					samples[m.Worker] = m.Resident
				}
				names := []string{"main", "gw0", "gw1"}[:2*workers-1]
				if len(samples) != len(names) {
					t.Errorf("samples of %v, want of %q", samples, names)
				}
				for _, name := range names {
					if samples[name] < 10*mib {
						t.Errorf("%s holds %d bytes, want more", name, samples[name])
					}
				}
			})
		}
	}
}

// heavyRun is when a heavy test ran, in seconds, and how much it took, in MiB.
type heavyRun struct{ start, end, size float64 }

// withNeeds says of the suite's heavy tests what they need.
func withNeeds(t *testing.T, s *shard.Shard) {
	t.Helper()
	for i := range s.Pieces {
		for k, rest := range s.Pieces[i].Tests {
			var size int64
			if rest == "::test_too_large" {
				size = 300
			} else if _, err := fmt.Sscanf(rest, "::test_heavy[%d]", &size); err != nil {
				continue
			}
			s.Pieces[i].Needs = append(s.Pieces[i].Needs, shard.TestNeed{Test: k, Need: (size + 4) << 20})
		}
	}
}

// Heavy tests run beside each other while they fit, and what fits beside
// nothing runs alone.
func TestAdmission(t *testing.T) {
	needsProc(t)
	const spare = 260 // MiB for tests
	for _, env := range []string{"old", "new", "plugins"} {
		t.Run(env, func(t *testing.T) {
			oneOfFew(t)
			log := filepath.Join(t.TempDir(), "log")
			p := proof{command: pytestIn(t, env), dir: suite(t, "memory"), args: []string{"test_heavy.py", "-p", "no:randomly"}, env: []string{"HEAVY_LOG=" + log}}
			c := p.collect(t)
			plan, s := one(c, 3, true)
			withNeeds(t, &s)
			floor, controller := floors(t, p, c, s)
			plan.Shards[0] = s
			p.memory = &Memory{Budget: controller + 3*floor + (spare+8)<<20, Floor: floor}
			o := p.shard(t, c, plan, s)
			if o.status != ExitOK || len(o.results.Tests) != s.Len() {
				t.Fatalf("status %d, %d tests, want %d\n%s", o.status, len(o.results.Tests), s.Len(), o.output)
			}
			checkHeavy(t, log, spare)
		})
	}
}

// Workers that together hold more than the budget before any test runs are too
// many: one stays, and the user is told so, and of what ran alone.
func TestCrowded(t *testing.T) {
	needsProc(t)
	for _, env := range []string{"old", "new"} {
		t.Run(env, func(t *testing.T) {
			oneOfFew(t)
			p := proof{command: pytestIn(t, env), dir: suite(t, "memory"), args: []string{"test_heavy.py", "-k", "light"}}
			c := p.collect(t)
			plan, s := one(c, 3, true)
			s.Pieces[0].Needs = []shard.TestNeed{{Test: 3, Need: 64 << 20}}
			plan.Shards[0] = s
			p.memory = &Memory{Budget: 1 << 20}
			o := p.shard(t, c, plan, s)
			workers := map[string]int{}
			for _, test := range o.results.Tests {
				workers[test.Worker]++
			}
			if o.status != ExitOK || len(o.results.Tests) != s.Len() || len(workers) != 1 {
				t.Errorf("status %d, tests by worker %v, want %d on one of them\n%s", o.status, workers, s.Len(), o.output)
			}
			want := []string{
				"2 workers were closed: all together held more than 1 MiB while they ran no test",
				"1 test ran alone: it did not fit into 1 MiB",
			}
			if !slices.EqualFunc(o.results.Notes, want, strings.HasPrefix) {
				t.Errorf("notes %q, want %q", o.results.Notes, want)
			}
		})
	}
}

// floors runs the suite's light tests and returns what a worker and the
// controller hold without others, in bytes.
func floors(t *testing.T, p proof, c *Collection, s shard.Shard) (floor, controller int64) {
	t.Helper()
	light := s
	light.Name, light.Pieces = "light", []shard.Piece{{File: s.Pieces[0].File, Cut: true}}
	for _, rest := range s.Pieces[0].Tests {
		if strings.HasPrefix(rest, "::test_light") {
			light.Pieces[0].Tests = append(light.Pieces[0].Tests, rest)
		}
	}
	o := p.shard(t, c, &shard.Plan{Shards: []shard.Shard{light}}, light)
	for _, w := range o.results.Workers {
		floor = max(floor, w.Floor)
	}
	for _, m := range o.results.Memory {
		if m.Worker == "main" {
			controller = m.Resident
		}
	}
	if floor == 0 || controller == 0 {
		t.Fatalf("floor %d, controller %d bytes: %+v", floor, controller, o.results.Memory)
	}
	return floor, controller
}

// checkHeavy holds what ran beside each other against the most that may, MiB.
func checkHeavy(t *testing.T, log string, most float64) {
	t.Helper()
	data, err := os.ReadFile(log)
	if err != nil {
		t.Fatal(err)
	}
	var runs []heavyRun
	for line := range strings.Lines(string(data)) {
		var r heavyRun
		if _, err := fmt.Sscan(line, &r.start, &r.end, &r.size); err != nil {
			t.Fatal(err)
		}
		runs = append(runs, r)
	}
	if len(runs) != 11 {
		t.Errorf("%d heavy tests ran, want 11", len(runs))
	}
	beside := 0
	for _, r := range runs {
		sum, n := r.size, 0
		for _, other := range runs {
			if other != r && other.start <= r.start && r.start < other.end {
				sum += other.size
				n++
			}
		}
		beside += n
		if sum > most && n > 0 {
			t.Errorf("%v MiB beside each other when the one of %v MiB started, want at most %v", sum, r.size, most)
		}
	}
	if beside == 0 {
		t.Error("no two heavy tests ran beside each other")
	}
}

// runModel runs a script that drives the plugin's modules without pytest, and
// returns what it prints.
func runModel(t *testing.T, version, script string, args ...string) (string, error) {
	t.Helper()
	if testing.Short() {
		t.Skip("-short: no real Python")
	}
	python, err := FindPython(version)
	if err != nil {
		t.Skip(err)
	}
	oneOfFew(t)
	args = append([]string{"-B", filepath.Join("testdata", "model", script), "."}, args...)
	output, err := exec.CommandContext(t.Context(), python, args...).CombinedOutput()
	return string(output), err
}

// A model of xdist drives the schedule through random suites, budgets and
// crashes: never past the budget, never stuck, each test once.
func TestScheduleModel(t *testing.T) {
	for _, version := range []string{"3.9", "3.13"} {
		t.Run(version, func(t *testing.T) {
			seed := strconv.Itoa(rand.IntN(1 << 30))
			output, err := runModel(t, version, "model.py", "1500", seed)
			if err != nil {
				t.Errorf("seeds from %s: %v\n%s", seed, err, output)
			}
			t.Log(output)
		})
	}
}

// TestPairs: heavy tests run beside each other as they fit, so that little time
// is lost against the best there is.
func TestPairs(t *testing.T) {
	output, err := runModel(t, "3.13", "pairs.py", "20")
	if err != nil {
		t.Fatalf("%v\n%s", err, output)
	}
	if share, err := strconv.ParseFloat(strings.TrimSpace(output), 64); err != nil || share < 0.95 {
		t.Errorf("%s of the best time, want 0.95: %v", output, err)
	}
}

// What the schedule decides for 100,000 tests takes about a second of CPU in
// all; much more would be a step that looks at all tests again.
func TestScheduleSpeed(t *testing.T) {
	output, err := runModel(t, "3.13", "speed.py", "100000")
	if err != nil {
		t.Fatalf("%v\n%s", err, output)
	}
	t.Log(output)
	for line := range strings.Lines(output) {
		_, took, _ := strings.Cut(line, ": ")
		var seconds float64
		if _, err := fmt.Sscanf(took, "%f s", &seconds); err != nil || seconds > 5 {
			t.Errorf("%q: %v, want a few seconds at most", line, err)
		}
	}
}
