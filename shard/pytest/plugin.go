package pytest

import (
	"embed"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/wcshard/wcshard/shard"
	"github.com/wcshard/wcshard/timing"
)

//go:embed *.py
var pluginSources embed.FS

const (
	pluginName = "wcshard_plugin"
	loader     = "bootstrap.py" // what pytest loads by that name; it loads the others
	configName = "config.json"  // beside it
)

// DefaultSeed is the seed of random-order plugins that have none of their own,
// so that every shard and the collection have the same.
const DefaultSeed = 1

// pluginConfig is the file that tells the plugin what to do.
type pluginConfig struct {
	Mode       string                  `json:"mode"` // "collect" or "run"
	Out        string                  `json:"out"`  // the stream that the plugin writes
	Given      []string                `json:"given"`
	Added      []string                `json:"added"`     // arguments of pytest that are not the user's, one after the other
	HashSeed   *string                 `json:"hash_seed"` // PYTHONHASHSEED as the user has it; nil where that is a number, which stays
	Seed       *int64                  `json:"seed"`
	Workers    int                     `json:"workers"`
	Pieces     []pluginPiece           `json:"pieces"`
	Elsewhere  []timing.NodeID         `json:"elsewhere"`
	Turns      map[timing.NodeID][]int `json:"turns"`
	Partial    bool                    `json:"partial"`
	Again      int                     `json:"again,omitempty"`
	Freeze     bool                    `json:"freeze"` // to spare the garbage collector what is there before the first test
	Reduced    bool                    `json:"reduced"`
	Gathered   bool                    `json:"gathered"`
	Conftests  []string                `json:"conftests"`
	Places     []string                `json:"places"`
	LastPlaces []string                `json:"last_places"`
	Parameters []shard.Parameters      `json:"parameters"`
	Memory     *Memory                 `json:"memory,omitempty"`  // absent: no admission by memory
	Timeout    float64                 `json:"timeout,omitempty"` // seconds of each test, where nothing of the user's says another
	Inspect    *inspectConfig          `json:"inspect,omitempty"` // in collect mode
}

type pluginPiece struct {
	File  string     `json:"file"`
	Cut   bool       `json:"cut"`
	Tests []string   `json:"tests"`
	Units []int      `json:"units,omitempty"` // of each test, as in shard.UnitRun
	Needs [][4]int64 `json:"needs,omitempty"` // index into Tests, low, need and kept, as in shard.TestNeed
}

// Memory is what a session may use of the machine's memory. With it, tests on
// xdist's workers start by admission: one starts only when what it needs over
// what its worker holds by now ([shard.TestNeed]) fits into the budget, beside what all
// processes of the session hold by measurement at that moment and what the
// tests that run are still expected to take. One that fits beside nothing runs
// while no other test does.
type Memory struct {
	Budget  int64 `json:"budget"`  // what the controller and all workers may use together, bytes; at least 1
	Floor   int64 `json:"floor"`   // resident memory of a worker after its imports, where it cannot be measured, bytes
	Reserve int64 `json:"reserve"` // what a start must leave available to the rest of the machine, measured when it starts, bytes; 0 looks at the budget alone
}

// plugin is the plugin as one call of pytest finds it: a directory with its
// source and its configuration.
type plugin struct {
	dir string
}

func newPlugin() (*plugin, error) {
	dir, err := os.MkdirTemp("", "wcshard-plugin-")
	if err == nil {
		dir, err = filepath.Abs(dir) // TMPDIR may be relative, and tests may change the directory
	}
	if err != nil {
		return nil, placing(err)
	}
	p := &plugin{dir}
	if err := p.place(); err != nil {
		p.remove()
		return nil, placing(err)
	}
	return p, nil
}

func (p *plugin) place() error {
	sources, err := pluginSources.ReadDir(".")
	if err != nil {
		return err
	}
	folder := filepath.Join(p.dir, ".sources") // a name that nobody can import
	if err := os.Mkdir(folder, 0o700); err != nil {
		return err
	}
	for _, source := range sources {
		text, err := pluginSources.ReadFile(source.Name())
		if err != nil {
			return err
		}
		name := filepath.Join(folder, source.Name())
		if source.Name() == loader {
			name = filepath.Join(p.dir, pluginName+".py")
		}
		if err := os.WriteFile(name, text, 0o600); err != nil {
			return err
		}
	}
	return nil
}

func placing(err error) error {
	return &HintError{fmt.Errorf("placing the pytest plugin: %w", err), "set TMPDIR (TEMP on Windows) to a folder that can be written and has room"}
}

func (p *plugin) remove() { _ = os.RemoveAll(p.dir) }

func (p *plugin) configure(config pluginConfig) error {
	data, err := json.Marshal(config)
	if err == nil {
		err = os.WriteFile(p.config(), data, 0o600)
	}
	if err != nil {
		return fmt.Errorf("configuring the pytest plugin: %w", err)
	}
	return nil
}

func (p *plugin) config() string { return filepath.Join(p.dir, configName) }

// env returns the environment with which pytest finds the plugin, is no worker of an xdist
// that wcshard was started by, and goes through a set in the same order in all calls,
// unless the user's has a seed for that: parameters from a set of tuples have IDs by their
// position, so that a test's ID would be of another test in each shard.
func (p *plugin) env(env []string) []string {
	if env == nil {
		env = os.Environ()
	}
	path := p.dir
	env = slices.DeleteFunc(slices.Clone(env), func(entry string) bool {
		value, found := strings.CutPrefix(entry, "PYTHONPATH=")
		if found && value != "" {
			path = p.dir + string(os.PathListSeparator) + value
		}
		return found || strings.HasPrefix(entry, "PYTEST_XDIST_")
	})
	if hashSeed(env) != nil {
		env = append(env, "PYTHONHASHSEED=0")
	}
	return append(env, "PYTHONPATH="+path)
}

// hashSeed returns what PYTHONHASHSEED is in an environment, nil for a number.
func hashSeed(env []string) *string {
	if env == nil {
		env = os.Environ()
	}
	own := ""
	for _, entry := range env {
		if value, found := strings.CutPrefix(entry, "PYTHONHASHSEED="); found {
			own = value
		}
	}
	if own != "" && own != "random" {
		return nil
	}
	return &own
}

// Selection is the tests that one session of pytest shall run.
type Selection struct {
	Pieces    []shard.Piece           // in running order
	Elsewhere []timing.NodeID         // tests of the same files that other shards run
	Turns     map[timing.NodeID][]int // for names that several tests of the plan share: which of the namesakes, from 0, in running order
	Partial   bool                    // the plan has more tests: what judges a whole run is not to judge this one
	Gathered  bool                    // these are of several shards: a plan of them does not know in which order they were collected
	Reduced   bool                    // these are some of a shard's tests, which others of it may have run for
}

// Select returns the tests of the named shards of a plan, in the order named.
// The error says which shards there are when a name is none of them.
func Select(plan *shard.Plan, names ...string) (Selection, error) {
	chosen := make([]int, 0, len(names))
	for _, name := range names {
		i := slices.IndexFunc(plan.Shards, func(s shard.Shard) bool { return s.Name == name })
		if i < 0 {
			return Selection{}, fmt.Errorf("selecting shard %q: the plan has %s", name, shardNames(plan))
		}
		if slices.Contains(chosen, i) {
			return Selection{}, fmt.Errorf("selecting shard %q: it is named twice", name)
		}
		chosen = append(chosen, i)
	}
	sel := Selection{Turns: map[timing.NodeID][]int{}, Partial: len(chosen) < len(plan.Shards)}
	files := map[string]bool{}
	for _, i := range chosen {
		for _, piece := range plan.Shards[i].Pieces {
			sel.Pieces = append(sel.Pieces, piece)
			files[piece.File] = true
		}
	}
	// Namesakes take their turns in the order of the plan.
	seen := map[timing.NodeID]int{}
	turns := make([]map[timing.NodeID][]int, len(plan.Shards))
	for i, s := range plan.Shards {
		turns[i] = map[timing.NodeID][]int{}
		mine := slices.Contains(chosen, i)
		for _, piece := range s.Pieces {
			if !files[piece.File] {
				continue
			}
			for _, rest := range piece.Tests {
				id := timing.NodeID(piece.File + rest)
				turns[i][id] = append(turns[i][id], seen[id])
				seen[id]++
				if !mine {
					sel.Elsewhere = append(sel.Elsewhere, id)
				}
			}
		}
	}
	for _, i := range chosen {
		for id, places := range turns[i] {
			if seen[id] > 1 {
				sel.Turns[id] = append(sel.Turns[id], places...)
			}
		}
	}
	return sel, nil
}

// parameters returns those of functions in files of the selection; never null.
func (s *Selection) parameters(all []shard.Parameters) []shard.Parameters {
	files := map[string]bool{}
	for _, piece := range s.Pieces {
		files[piece.File] = true
	}
	some := []shard.Parameters{}
	for _, x := range all {
		if files[timing.NodeID(x.ID).File()] {
			some = append(some, x)
		}
	}
	return some
}

func shardNames(plan *shard.Plan) string {
	names := make([]string, 0, len(plan.Shards))
	for _, s := range plan.Shards {
		names = append(names, s.Name)
	}
	return strings.Join(names, ", ")
}
