package pytest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"

	"github.com/rogpeppe/go-internal/lockedfile"
)

// VenvOptions describes a virtual environment.
type VenvOptions struct {
	Dir          string    // where it is, or shall be
	Python       string    // the interpreter; "" for python3 (python on Windows) on the path
	Requirements []string  // what to install, as pip takes it: "pytest==9.2.0"
	Log          io.Writer // what uv, venv and pip print; nil for nowhere
}

// Venv makes a virtual environment, with uv where it is on the path, else with
// venv and pip, and returns its Python. One that is complete is only looked
// up: a stamp beside it names its interpreter and requirements. One that is
// half made or has others is made anew. Several processes may ask for the same
// one at once: one makes it, the others wait.
func Venv(ctx context.Context, opts VenvOptions) (python string, err error) {
	if opts.Python == "" {
		opts.Python = systemPython()
	}
	if opts.Dir, err = filepath.Abs(opts.Dir); err != nil {
		return "", fmt.Errorf("placing a virtual environment: %w", err)
	}
	if err := os.MkdirAll(filepath.Dir(opts.Dir), 0o755); err != nil {
		return "", fmt.Errorf("placing a virtual environment: %w", err)
	}
	unlock, err := lockedfile.MutexAt(opts.Dir + ".lock").Lock()
	if err != nil {
		return "", fmt.Errorf("waiting for %s: %w", opts.Dir, err)
	}
	defer unlock()
	python = venvPython(opts.Dir)
	stamp, want := opts.Dir+".stamp", opts.stamp(ctx)
	if have, err := os.ReadFile(stamp); err == nil && string(have) == want {
		if _, err := os.Stat(python); err == nil {
			return python, nil
		}
	}
	if err := opts.create(ctx, stamp, python); err != nil {
		return "", fmt.Errorf("making the virtual environment %s: %w", opts.Dir, err)
	}
	if err := os.WriteFile(stamp, []byte(want), 0o644); err != nil {
		return "", fmt.Errorf("making the virtual environment %s: %w", opts.Dir, err)
	}
	return python, nil
}

// stamp says what an environment is of: with the interpreter's version, since the
// system's may be another one tomorrow, for which there is nothing in it.
func (opts VenvOptions) stamp(ctx context.Context) string {
	version, err := exec.CommandContext(ctx, opts.Python, "-c", "import sys; print(*sys.version_info[:2])").Output()
	if err != nil {
		version = nil // what is to be made of it says so
	}
	return opts.Python + " " + string(version) + strings.Join(opts.Requirements, "\n") + "\n"
}

func (opts VenvOptions) create(ctx context.Context, stamp, python string) error {
	if err := errors.Join(ignoreMissing(os.Remove(stamp)), os.RemoveAll(opts.Dir)); err != nil {
		return err
	}
	if uv, err := exec.LookPath("uv"); err == nil {
		if err := opts.call(ctx, uv, "venv", "--quiet", "--python", opts.Python, opts.Dir); err != nil {
			return err
		}
		return opts.install(ctx, uv, "pip", "install", "--quiet", "--python", python)
	}
	if err := opts.call(ctx, opts.Python, "-m", "venv", opts.Dir); err != nil {
		return err
	}
	return opts.install(ctx, python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check")
}

func (opts VenvOptions) install(ctx context.Context, argv ...string) error {
	if len(opts.Requirements) == 0 {
		return nil
	}
	return opts.call(ctx, append(argv, opts.Requirements...)...)
}

func (opts VenvOptions) call(ctx context.Context, argv ...string) error {
	var output tail
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Stdout = &output
	if opts.Log != nil {
		cmd.Stdout = io.MultiWriter(opts.Log, &output)
	}
	cmd.Stderr = cmd.Stdout
	err := cmd.Run()
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case errors.Is(err, exec.ErrNotFound):
		return &HintError{fmt.Errorf("calling %s: %w", argv[0], err), "install Python 3.9 or newer"}
	case err != nil:
		return fmt.Errorf("calling %s: %w: %s", strings.Join(argv, " "), err, lastLine(output.String()))
	}
	return nil
}

func lastLine(output string) string {
	output = strings.TrimSpace(output)
	return strings.TrimSpace(output[strings.LastIndexByte(output, '\n')+1:])
}

func ignoreMissing(err error) error {
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	return err
}

func systemPython() string {
	if runtime.GOOS == "windows" {
		return "python"
	}
	return "python3"
}

func venvPython(dir string) string {
	if runtime.GOOS == "windows" {
		return filepath.Join(dir, "Scripts", "python.exe")
	}
	return filepath.Join(dir, "bin", "python")
}

// FindPython returns an interpreter of a version such as "3.9": pythonX.Y on
// the path if it runs, else the newest one that pyenv has. The error is or
// wraps [os.ErrNotExist] where there is none.
func FindPython(version string) (string, error) {
	if path, err := exec.LookPath("python" + version); err == nil {
		if exec.Command(path, "-c", "").Run() == nil { // pyenv's shims stand for versions that are switched off
			return path, nil
		}
	}
	root := os.Getenv("PYENV_ROOT")
	if home, err := os.UserHomeDir(); root == "" && err == nil {
		root = filepath.Join(home, ".pyenv")
	}
	found, err := filepath.Glob(filepath.Join(root, "versions", version+".*", "bin", "python"))
	if err != nil || len(found) == 0 {
		return "", fmt.Errorf("looking for Python %s on the path and in pyenv: %w", version, os.ErrNotExist)
	}
	return slices.MaxFunc(found, func(a, b string) int { return patch(a) - patch(b) }), nil
}

// patch returns the last number of the version in …/versions/3.9.18/bin/python.
func patch(path string) int {
	version := filepath.Base(filepath.Dir(filepath.Dir(path)))
	n, err := strconv.Atoi(version[strings.LastIndexByte(version, '.')+1:])
	if err != nil {
		return 0 // a pre-release
	}
	return n
}
