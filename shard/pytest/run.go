package pytest

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"syscall"
	"time"

	"github.com/wcshard/wcshard/shard"
	"github.com/wcshard/wcshard/timing"
)

// DefaultGrace is how long an interrupted pytest may take to finish its
// teardown. GitHub gives a cancelled job 7.5 s.
const DefaultGrace = 7 * time.Second

// RunOptions is one session of pytest.
type RunOptions struct {
	Dir  string   // working directory; "" for the current one
	Env  []string // environment; nil for this process's own
	Args []string // as at collection: they decide the root directory and so the node IDs
	// Extra arguments of the run's own line, after Args. What they say of
	// workers, distribution and stopping early goes before the plan.
	Extra      []string
	Root       string             // pytest's root directory as collected, relative to Dir; "" where unknown
	Parameters []shard.Parameters // of all functions of the plan
	Conftests  []string           // folders to load a conftest.py from beside those of the tests, as in node IDs
	Places     []string           // folders to find modules in, as in node IDs
	LastPlaces []string           // the same, behind what is installed
	Selection  Selection
	Workers    int           // planned workers; 1 runs in one process
	Again      int           // above 0, so many calls have run other parts of this: with Workers whatever Extra says, and reports and coverage beside what those left
	Memory     *Memory       // what the session may use; nil: as much as it takes
	Timeout    time.Duration // of each test, which pytest-timeout keeps; 0 for none
	Unfrozen   bool          // Python's garbage collector is to look through what imports leave as well
	Seed       *int64        // for random-order plugins without a seed of their own; nil for [DefaultSeed]
	Results    string        // the results file, to which the plugin appends

	Stdin          io.Reader
	Stdout, Stderr io.Writer
	Grace          time.Duration // from interrupt to kill; 0 for [DefaultGrace]
	DeadlineGrace  time.Duration // the same where it was the context's deadline that came; 0 for Grace
}

// Run runs the selected tests and returns pytest's exit status; 128 and the
// signal's number where one killed it. When the context ends, pytest is
// interrupted and, after a grace, killed. The error says why pytest could not
// be run at all.
func Run(ctx context.Context, command Command, opts RunOptions) (status int, err error) {
	results, err := filepath.Abs(opts.Results)
	if err != nil {
		return 0, fmt.Errorf("placing results: %w", err)
	}
	p, err := newPlugin()
	if err != nil {
		return 0, err
	}
	defer p.remove()
	config := opts.config(results)
	if err := p.configure(config); err != nil {
		return 0, err
	}
	args := slices.Concat(config.Added, opts.Args, opts.Extra)
	cmd := exec.CommandContext(ctx, command.Argv[0], append(command.Argv[1:len(command.Argv):len(command.Argv)], args...)...)
	cmd.Dir, cmd.Env = opts.Dir, p.env(opts.Env)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = opts.Stdin, opts.Stdout, opts.Stderr
	cmd.WaitDelay = cmp.Or(opts.Grace, DefaultGrace)
	var stopped stopping
	cmd.Cancel = func() error {
		if errors.Is(ctx.Err(), context.DeadlineExceeded) {
			cmd.WaitDelay = cmp.Or(opts.DeadlineGrace, cmd.WaitDelay) // which is looked at when Cancel is done
		}
		return stopped.interrupt(p, cmd.Process)
	}
	stop := startSampling(p.dir, results)
	defer stop()
	err = cmd.Run()
	stopped.end(cmd.ProcessState)
	return exitStatus(command, err, cmd.ProcessState)
}

func (opts RunOptions) config(results string) pluginConfig {
	config := pluginConfig{
		Mode:       "run",
		Out:        results,
		Given:      UserOptions(opts.Extra).given(),
		Added:      []string{"-p" + pluginName},
		HashSeed:   hashSeed(opts.Env),
		Again:      opts.Again,
		Freeze:     !opts.Unfrozen,
		Seed:       opts.Seed,
		Workers:    opts.Workers,
		Pieces:     []pluginPiece{}, // never null, which Python would not take for empty
		Elsewhere:  append([]timing.NodeID{}, opts.Selection.Elsewhere...),
		Turns:      opts.Selection.Turns,
		Partial:    opts.Selection.Partial,
		Reduced:    opts.Selection.Reduced,
		Gathered:   opts.Selection.Gathered,
		Conftests:  append([]string{}, opts.Conftests...),
		Places:     append([]string{}, opts.Places...),
		LastPlaces: append([]string{}, opts.LastPlaces...),
		Parameters: opts.Selection.parameters(opts.Parameters),
		Memory:     opts.Memory,
		Timeout:    opts.Timeout.Seconds(),
	}
	if opts.Again > 0 {
		config.Given = slices.DeleteFunc(config.Given, func(name string) bool { return name == "workers" || name == "dist" })
	}
	if opts.Root != "" {
		config.Added = append(config.Added, "--rootdir="+opts.Root)
	}
	if config.Turns == nil {
		config.Turns = map[timing.NodeID][]int{}
	}
	if config.Seed == nil {
		config.Seed = new(int64(DefaultSeed))
	}
	for _, piece := range opts.Selection.Pieces {
		config.Pieces = append(config.Pieces, newPluginPiece(piece))
	}
	return config
}

func newPluginPiece(piece shard.Piece) pluginPiece {
	p := pluginPiece{File: piece.File, Cut: piece.Cut, Tests: piece.Tests}
	for _, u := range piece.Units {
		p.Units = append(p.Units, slices.Repeat([]int{u.Unit}, u.Tests)...)
	}
	for _, n := range piece.Needs {
		p.Needs = append(p.Needs, [4]int64{int64(n.Test), n.Low, n.Need, n.Kept})
	}
	return p
}

// exitStatus tells pytest's own exit status from not having run it.
func exitStatus(command Command, err error, state *os.ProcessState) (int, error) {
	if state == nil {
		return 0, startError(command, err)
	}
	if wait, ok := state.Sys().(syscall.WaitStatus); ok && wait.Signaled() {
		return 128 + int(wait.Signal()), nil
	}
	return state.ExitCode(), nil
}

func startError(command Command, err error) error {
	err = fmt.Errorf("starting %q (%s): %w", command.Argv[0], command.Source, err)
	if errors.Is(err, exec.ErrNotFound) || errors.Is(err, os.ErrNotExist) {
		return &HintError{err, "name a pytest that exists: --pytest \"python -m pytest\""}
	}
	if errors.Is(err, os.ErrPermission) {
		return &HintError{err, "make it a program that may be run, or name another one: --pytest \"python -m pytest\""}
	}
	return err
}
