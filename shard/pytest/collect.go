package pytest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
)

// What pytest's own exit statuses mean.
const (
	ExitOK          = 0
	ExitFailed      = 1 // tests failed
	ExitInterrupted = 2 // by the user, or by errors while collecting
	ExitInternal    = 3
	ExitUsage       = 4
	ExitNoTests     = 5 // nothing was collected
)

// ExitError is a pytest that ended with a status other than it should.
type ExitError struct {
	Status int
	Output string // the last of what it printed
	Early  bool   // before pytest was there: the status is that of what calls it, such as uv
}

func (e *ExitError) Error() string {
	if e.Early {
		return fmt.Sprintf("it ended with exit status %d before it began to collect", e.Status)
	}
	return fmt.Sprintf("pytest ended with exit status %d (%s)", e.Status, statusText(e.Status))
}

func statusText(status int) string {
	switch status {
	case ExitOK:
		return "all well"
	case ExitFailed:
		return "an error, though it ran no test"
	case ExitInterrupted:
		return "interrupted, or errors while collecting"
	case ExitInternal:
		return "internal error"
	case ExitUsage:
		return "usage error"
	case ExitNoTests:
		return "no tests collected"
	}
	if status > 128 {
		return fmt.Sprintf("killed by signal %d", status-128)
	}
	return "not one of pytest's own"
}

// CollectOptions is one collection.
type CollectOptions struct {
	Dir  string   // working directory; "" for the current one
	Args []string // the user's pytest arguments
	Env  []string // environment; nil for this process's own
}

// outputTail is how much of pytest's output an [*ExitError] keeps.
const outputTail = 64 << 10

// Collect collects tests with pytest and returns them in running order. A
// suite without tests is a Collection without tests. The error is or wraps an
// [*ExitError] when pytest ended badly, such as for a file that cannot be
// imported.
func Collect(ctx context.Context, command Command, opts CollectOptions) (*Collection, error) {
	p, err := newPlugin()
	if err != nil {
		return nil, err
	}
	defer p.remove()
	return p.collect(ctx, command, opts, nil)
}

func (p *plugin) collect(ctx context.Context, command Command, opts CollectOptions, inspect *inspectConfig) (*Collection, error) {
	out := filepath.Join(p.dir, "collection.jsonl")
	config := pluginConfig{
		Mode: "collect", Freeze: true, Out: out, Given: UserOptions(opts.Args).given(), Seed: new(int64(DefaultSeed)), Inspect: inspect,
		Added: []string{"-p" + pluginName, "--collect-only"}, HashSeed: hashSeed(opts.Env),
	}
	if err := p.configure(config); err != nil {
		return nil, err
	}
	var output tail
	cmd := exec.CommandContext(ctx, command.Argv[0], slices.Concat(command.Argv[1:], config.Added, opts.Args)...)
	cmd.Dir, cmd.Env = opts.Dir, p.env(opts.Env)
	cmd.Stdout, cmd.Stderr = &output, &output
	var stopped stopping
	cmd.Cancel = func() error { return stopped.interrupt(p, cmd.Process) }
	cmd.WaitDelay = DefaultGrace

	err := cmd.Run()
	stopped.end(cmd.ProcessState)
	status, err := exitStatus(command, err, cmd.ProcessState)
	if err != nil {
		return nil, err
	}
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	if status != ExitOK && status != ExitNoTests {
		_, err := os.Stat(out)
		early := err != nil && (status == ExitFailed || status == ExitInterrupted) // pytest ends so only after it began
		return nil, explainExit(command, opts.Args, &ExitError{status, output.String(), early})
	}
	return readCollected(out, status, opts.Args, &output)
}

// readCollected reads the file that the plugin wrote.
func readCollected(out string, status int, args []string, output *tail) (*Collection, error) {
	file, err := os.Open(out)
	if errors.Is(err, os.ErrNotExist) {
		return nil, &HintError{
			fmt.Errorf("%w that loads wcshard's plugin: %w", ErrNoPytest, &ExitError{status, output.String(), false}),
			"name the program that is pytest with --pytest, and leave out arguments that make it do something else, such as --version",
		}
	}
	if err != nil {
		return nil, fmt.Errorf("opening the collection: %w", err)
	}
	defer file.Close()
	collection, err := readCollection("pytest's collection", file)
	if err != nil {
		return nil, &HintError{err, "leave out arguments that make pytest do something else than collect, such as --help or --fixtures"}
	}
	if version := collection.Collector.Pytest; older(version, oldestPytest) {
		return nil, &HintError{fmt.Errorf("pytest %s is too old", version), fmt.Sprintf("upgrade it to %d.0 or newer, or name another one: --pytest \"uv run pytest\"", oldestPytest)}
	}
	collection.Collector.Args = args
	return collection, nil
}

// oldestPytest is the first major version that can run a plan: those before cannot load
// what the plugin does then.
const oldestPytest = 7

// older reports whether a version is of an earlier major version.
func older(version string, major int) bool {
	first, _, _ := strings.Cut(version, ".")
	n, err := strconv.Atoi(first)
	return err == nil && n < major
}

// ErrNoPytest means that what was called is not a pytest that can load the
// plugin.
var ErrNoPytest = errors.New("there is no pytest")

// longestHint is how long a call may be to be shown as a whole, in bytes.
const longestHint = 300

// explainExit adds what to do about it.
func explainExit(command Command, args []string, exit *ExitError) error {
	again := JoinWords(slices.Concat(command.Argv, []string{"--collect-only"}, args)...)
	if len(again) > longestHint {
		again = fmt.Sprintf("%s --collect-only, with the same arguments", command)
	}
	switch {
	case strings.Contains(exit.Output, "No module named pytest"), strings.Contains(exit.Output, "No module named 'pytest'"):
		return &HintError{
			fmt.Errorf("calling %q (%s): %w: %w", command, command.Source, ErrNoPytest, exit),
			"install pytest there, or name another one: --pytest \"uv run pytest\"",
		}
	case exit.Early && (strings.Contains(exit.Output, "/_pytest/") || strings.Contains(exit.Output, `\_pytest\`)): // in a traceback, such as of an error in its configuration
		return &HintError{
			fmt.Errorf("calling %q (%s): %w", command, command.Source, exit),
			fmt.Sprintf("see what it says above; it ends in the same way without wcshard: %s", again),
		}
	case exit.Early:
		return &HintError{
			fmt.Errorf("calling %q (%s): %w: %w", command, command.Source, ErrNoPytest, exit),
			fmt.Sprintf("see what it says above, and try %s --version", command),
		}
	case exit.Status == ExitUsage:
		return &HintError{exit, "mend what it says above: in the arguments, or in addopts of pytest's configuration"}
	case exit.Status == ExitInterrupted:
		return &HintError{exit, fmt.Sprintf("the suite must be collected without errors: try %s", again)}
	}
	return &HintError{exit, fmt.Sprintf("see what it says above, and mend it: try %s", again)}
}

// tail keeps the last of what is written to it, by pytest's standard output
// and error at once.
type tail struct {
	mu   sync.Mutex
	data []byte
}

func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.data = append(t.data, p...)
	if len(t.data) > 2*outputTail {
		t.data = append(t.data[:0], t.data[len(t.data)-outputTail:]...)
	}
	return len(p), nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return string(t.data[max(0, len(t.data)-outputTail):])
}
