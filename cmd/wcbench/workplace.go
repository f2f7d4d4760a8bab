package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
)

// A workplace is a folder to work in, and the wcshard that is measured.
type workplace struct {
	dir, wcshard string
	clean        func() // removes the folder unless it is to be kept
}

// newWorkplace makes the folder keep, or a temporary one, and builds wcshard
// into it unless there is one to measure.
func newWorkplace(ctx context.Context, keep, wcshard string) (workplace, error) {
	p := workplace{wcshard: wcshard, clean: func() {}}
	var err error
	if keep == "" {
		p.dir, err = os.MkdirTemp("", "wcbench-")
		p.clean = func() { os.RemoveAll(p.dir) }
	} else if p.dir, err = filepath.Abs(keep); err == nil {
		err = os.MkdirAll(p.dir, 0o755)
	}
	if err == nil && wcshard == "" {
		p.wcshard, err = buildWcshard(ctx, p.dir)
	}
	if err != nil {
		p.clean()
	}
	return p, err
}

// buildWcshard builds the command to measure in dir.
func buildWcshard(ctx context.Context, dir string) (string, error) {
	command := filepath.Join(dir, "wcshard")
	if runtime.GOOS == "windows" {
		command += ".exe"
	}
	build := exec.CommandContext(ctx, "go", "build", "-o", command, "github.com/wcshard/wcshard/cmd/wcshard")
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("building wcshard: %w: %s", err, bytes.TrimSpace(out))
	}
	return command, nil
}

// suite puts a suite on disk and installs what runs it, for a tool: python, or
// one that is found, with these packages and its own.
func (p workplace) suite(ctx context.Context, spec suiteSpec, tool, python string, packages []string) (*benchSuite, error) {
	s := &benchSuite{spec: spec, tool: tool, dir: filepath.Join(p.dir, spec.folder), out: filepath.Join(p.dir, spec.folder+"-out"), wcshard: p.wcshard}
	if err := s.install(ctx, python, packages); err != nil {
		return nil, fmt.Errorf("installing what runs %s: %w", spec.name, err)
	}
	if err := s.write(ctx); err != nil {
		return nil, fmt.Errorf("making the suite %s: %w", spec.name, err)
	}
	return s, nil
}
