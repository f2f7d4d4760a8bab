package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/wcshard/wcshard/shard"
	"github.com/wcshard/wcshard/shard/pytest"
)

// demoSuite is a small weather package with its tests.
//
//go:embed all:demo
var demoSuite embed.FS

// demoRequirements are what the demo's virtual environment holds.
var demoRequirements = []string{"pytest>=7,<10", "pytest-xdist>=3,<4"}

func newDemo(sys *system) *cobra.Command {
	var keep string
	verb := &cobra.Command{
		Use:   "demo [flags]",
		Short: "Show the whole line on a small suite: matrix, run, verify, merge, matrix again",
		Long: `Unpack a small weather package with its tests, make a virtual environment with
pytest and pytest-xdist in your cache (once), and go the whole line twice: plan
without history, run each shard as a job of its own, verify, merge; then plan
again with what was learnt, and run again.`,
		Example: `  wcshard demo
  wcshard demo --keep /tmp/wcshard-demo   # and look at the plan, the results and the history`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				return usagef("leave it out; --keep FOLDER keeps what the demo makes", "demo takes no argument %q", args[0])
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, _ []string) error { return doDemo(cmd.Context(), sys, keep) },
	}
	verb.Flags().StringVar(&keep, "keep", "", "leave everything in this new or empty `FOLDER`")
	return verb
}

func doDemo(ctx context.Context, sys *system, keep string) error {
	folder, remove, err := demoFolder(keep)
	if err != nil {
		return advise(fmt.Errorf("making a folder for the demo: %w", err), "pass --keep FOLDER, one that can be made and has room")
	}
	defer remove()
	if err := unpack(folder); err != nil {
		return fmt.Errorf("unpacking the demo's suite: %w", err)
	}
	d := &demo{sys: sys, folder: folder}
	if err := d.environment(ctx); err != nil {
		return err
	}
	before, err := d.round(ctx, "without history", "before")
	if err != nil {
		return err
	}
	if err := d.wcshard(ctx, "learning from the results", nil, "merge", "results-before"); err != nil {
		return err
	}
	after, err := d.round(ctx, "with history", "after")
	if err != nil {
		return err
	}
	d.table(before, after)
	if keep != "" {
		sys.say("everything is in %s", folder)
	}
	return nil
}

// demoFolder makes the folder to work in: a temporary one, unless the user
// wants to keep it.
func demoFolder(keep string) (folder string, remove func(), err error) {
	if keep == "" {
		folder, err = os.MkdirTemp("", "wcshard-demo-")
		return folder, func() { os.RemoveAll(folder) }, err
	}
	folder, err = filepath.Abs(keep)
	if err != nil {
		return "", nil, err
	}
	if err := os.MkdirAll(folder, 0o777); err != nil {
		return "", nil, err
	}
	entries, err := os.ReadDir(folder)
	if err == nil && len(entries) > 0 {
		err = usagef("name a new folder, or an empty one", "--keep %s is not empty", keep)
	}
	return folder, func() {}, err
}

func unpack(folder string) error {
	return fs.WalkDir(demoSuite, "demo", func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		target := filepath.Join(folder, filepath.FromSlash(strings.TrimPrefix(path, "demo")))
		if entry.IsDir() {
			return os.MkdirAll(target, 0o777)
		}
		data, err := demoSuite.ReadFile(path)
		if err != nil {
			return err
		}
		return os.WriteFile(target, data, 0o666)
	})
}

// demo is one demonstration: everything that it does is done by calling this
// very program, as a user or a CI job would.
type demo struct {
	sys    *system
	folder string
	env    []string
}

// environment makes the virtual environment, and the variables to run in: the
// user's, without those that would change what pytest or wcshard do, such as those
// of a CI that say when its job began: the demo's jobs did not begin then.
func (d *demo) environment(ctx context.Context) error {
	python, err := demoPython(ctx)
	if err != nil {
		return err
	}
	stop := d.sys.progress("making the virtual environment")
	var log bytes.Buffer
	venv, err := makeVenv(ctx, python, &log)
	stop()
	if err != nil {
		d.sys.stderr.Write(log.Bytes())
		return &failure{status: exitUnavailable, err: err, hint: "look at the lines above; the first demo needs pip's package index"}
	}
	d.sys.say("pytest comes from %s", venv)
	for _, variable := range d.sys.environ {
		name, _, _ := strings.Cut(variable, "=")
		if strings.HasPrefix(name, "WCSHARD_") || strings.HasPrefix(name, "GITHUB_") || strings.HasPrefix(name, "GITLAB_") || strings.HasPrefix(name, "PYTEST_") || name == "PYTHONPATH" || name == "PYTHONHOME" {
			continue
		}
		d.env = append(d.env, variable)
	}
	d.env = append(d.env, "VIRTUAL_ENV="+venv)
	return nil
}

// makeVenv returns the demo's virtual environment in the user's cache, and
// makes it where it is not there yet.
func makeVenv(ctx context.Context, python string, log io.Writer) (string, error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", &failure{err: fmt.Errorf("looking for the cache folder: %w", err), hint: "set HOME or XDG_CACHE_HOME"}
	}
	key := sha256.Sum256([]byte(strings.Join(append(slices.Clone(demoRequirements), python), "\n")))
	venv := filepath.Join(cache, "wcshard", "venv", "demo-"+hex.EncodeToString(key[:6]))
	if _, err := pytest.Venv(ctx, pytest.VenvOptions{Dir: venv, Python: python, Requirements: demoRequirements, Log: log}); err != nil {
		return "", fmt.Errorf("making a virtual environment: %w", err)
	}
	return venv, nil
}

// demoPython finds a Python that the demo can use: the one on the path, else
// the newest supported one that FindPython knows of.
func demoPython(ctx context.Context) (string, error) {
	for _, name := range []string{"python3", "python"} {
		path, err := exec.LookPath(name)
		if err == nil && exec.CommandContext(ctx, path, "-c", "import sys, venv; sys.exit(sys.version_info < (3, 9))").Run() == nil {
			return path, nil
		}
	}
	for minor := 14; minor >= 9; minor-- {
		if path, err := pytest.FindPython(fmt.Sprintf("3.%d", minor)); err == nil {
			return path, nil
		}
	}
	return "", &failure{status: exitUnavailable, err: errors.New("looking for Python: there is none from 3.9 on with its venv module"),
		hint: "install Python 3.9 or newer (on Debian and Ubuntu: python3 and python3-venv)"}
}

// round plans, runs each shard and verifies.
func (d *demo) round(ctx context.Context, what, name string) (*shard.Verdict, error) {
	plan, results := "plan-"+name+".json", "results-"+name
	var matrix bytes.Buffer
	err := d.wcshard(ctx, "planning "+what, &matrix, "matrix", "--plan", plan, "--shards", "3", "--workers", "1", "--runner", "local", "--runner-cpus", "2")
	if err != nil {
		return nil, err
	}
	var rows struct{ Include []struct{ Name string } }
	if err := json.Unmarshal(matrix.Bytes(), &rows); err != nil {
		return nil, fmt.Errorf("reading the matrix: %w", err)
	}
	for i, row := range rows.Include {
		what := fmt.Sprintf("running job %d of %d %s: %s", i+1, len(rows.Include), what, row.Name)
		if err := d.wcshard(ctx, what, nil, "run", "--plan", plan, "--shard", row.Name, "--results", results, "--", "-q", "-p", "no:cacheprovider"); err != nil {
			return nil, err
		}
	}
	if err := d.wcshard(ctx, "verifying", nil, "verify", "--plan", plan, results); err != nil {
		return nil, err
	}
	made, err := readPlan(d.sys, filepath.Join(d.folder, plan))
	if err != nil {
		return nil, err
	}
	all, _, err := readResults(d.sys, []string{filepath.Join(d.folder, results)})
	if err != nil {
		return nil, err
	}
	return shard.Verify(made, all), nil
}

// wcshard calls this program with a verb; what it says is shown only when it
// fails.
func (d *demo) wcshard(ctx context.Context, what string, stdout io.Writer, args ...string) error {
	self, err := os.Executable()
	if err != nil {
		return fmt.Errorf("looking for this program: %w", err)
	}
	stop := d.sys.progress(what)
	var log bytes.Buffer
	cmd := exec.CommandContext(ctx, self, args...)
	cmd.Dir, cmd.Env, cmd.Stderr = d.folder, d.env, &log
	if cmd.Stdout = stdout; stdout == nil {
		cmd.Stdout = &log
	}
	err = cmd.Run()
	stop()
	if err == nil {
		d.sys.say("%s: done", what)
		return nil
	}
	d.sys.stderr.Write(log.Bytes())
	status := exitSoftware
	var died *exec.ExitError
	if errors.As(err, &died) && died.ExitCode() > 0 {
		status = died.ExitCode()
	}
	return &failure{status: status, err: fmt.Errorf("%s: wcshard %s: %w", what, strings.Join(args, " "), err), hint: "run the demo with --keep DIR, and this command in DIR"}
}

// table prints what was predicted and what it took, before and after learning.
func (d *demo) table(before, after *shard.Verdict) {
	old := map[string]shard.ShardVerdict{}
	for _, s := range before.Shards {
		old[s.Name] = s
	}
	fmt.Fprintln(d.sys.stdout)
	table := tabwriter.NewWriter(d.sys.stdout, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(table, "\tbefore learning\t\tafter learning\t\t\t")
	fmt.Fprintln(table, "shard\tpredicted s\treal s\tpredicted s\treal s\tpeak memory\t")
	for _, s := range after.Shards {
		b := old[s.Name]
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\t%s\t\n", s.Name, seconds(b.Predicted), realSeconds(b), seconds(s.Predicted), realSeconds(s), bytesOf(max(s.Peak, b.Peak)))
	}
	table.Flush()
	fmt.Fprintf(d.sys.stdout, "\n%s ran exactly once\n", outOf(after.Ran, after.Planned))
}
