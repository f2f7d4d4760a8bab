package main

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

	"github.com/wcshard/wcshard/shard/pytest"
)

// A suiteSpec says where the tests of a suite come from.
type suiteSpec struct {
	name     string // set by suiteChoice, as are the folders
	folder   string // for the suite, and in front of that of what is kept of it
	venv     string // in the name of the virtual environment; "": all made-up suites share one
	shape    string
	packages []string // what it needs beside suitePackages
	module   string   // the package that holds its tests; "": the suite is made up
	without  []string // what a copy of the package is better without
	args     []string // of pytest: what to run
	minor    int      // the oldest Python 3 that the packages run on
	prepare  string   // what Python does once, where the packages are installed
	env      []string // of all its processes
	scale    string   // of a made-up suite: what its costs are multiplied by
	clock    string   // of a made-up suite: cpu or sleep
}

// sympy is what its suites need.
var sympy = []string{"sympy==1.14.0", "mpmath==1.3.0", "hypothesis==6.170.15"}

// seriesFiles are some of the tests of sympy.series. The others take minutes.
func seriesFiles(names ...string) []string {
	var files []string
	for _, name := range names {
		files = append(files, "sympy/series/tests/test_"+name+".py")
	}
	return files
}

// suiteSpecs are the suites, chosen for their shapes. Wheels hold the tests.
var suiteSpecs = map[string]suiteSpec{
	"networkx": {
		shape:    "many tiny tests, of its algorithms and generators",
		packages: []string{"networkx==3.7", "numpy==2.3.5", "scipy==1.18.1"},
		module:   "networkx",
		args:     []string{"networkx/algorithms", "networkx/generators"},
		minor:    12,
	},
	"statsmodels": {
		shape:    "costly fixtures of classes, of its discrete models",
		packages: []string{"statsmodels==0.15.0", "numpy==2.3.5", "scipy==1.18.1", "pandas==3.1.1"},
		module:   "statsmodels",
		without:  []string{"pyproject.toml"}, // it asks for plugins
		args:     []string{"statsmodels/discrete/tests"},
		minor:    12,
	},
	"sympy-physics": {
		shape:    "slow imports, of five of its packages of physics",
		packages: sympy,
		module:   "sympy",
		args:     []string{"sympy/physics/continuum_mechanics", "sympy/physics/hep", "sympy/physics/optics", "sympy/physics/units", "sympy/physics/vector"},
		minor:    9,
	},
	"sympy-series": {
		shape:    "few tests and some giants, of eight of its files about series",
		packages: sympy,
		module:   "sympy",
		args:     seriesFiles("approximants", "aseries", "demidovich", "fourier", "kauers", "lseries", "residues", "sequences"),
		minor:    9,
	},
	"weathercop": {
		shape:    "slow start-up and an expensive teardown of each test, of 108 tests of its copulas; its first import compiles for some ten minutes, by a C compiler",
		packages: []string{"weathercop==0.2.0", "numpy==2.3.5", "setuptools==84.2.1", "cython==3.3.1", "psutil==7.2.2"},
		module:   "weathercop",
		args:     []string{"weathercop/tests/test_copulae.py", "-k", "given_u or density"},
		minor:    13,
		prepare:  "import weathercop.copulae",
		env:      []string{"MPLBACKEND=Agg", "PYTHON_CPU_COUNT=3"}, // it has a pool of two processes less than there are cores
	},
	"fixtures": {shape: "made up: imports and fixtures of every scope that burn CPU time", scale: "0.5", clock: "cpu"},
	"quick":    {shape: "fixtures at a twentieth of its cost", scale: "0.025", clock: "cpu"},
	"sleeping": {shape: "made up: imports and fixtures of every scope that sleep", scale: "0.25", clock: "sleep"},
}

// describeSuites is a line for each suite.
func describeSuites() string {
	var b strings.Builder
	for _, name := range suiteNames() {
		fmt.Fprintf(&b, "%-14s %s\n", name+":", suiteSpecs[name].shape)
	}
	return b.String()
}

// install makes the virtual environment, once.
func (s *benchSuite) install(ctx context.Context, python string, packages []string) error {
	spec := s.spec
	python, err := findPython(ctx, python, spec.minor)
	if err != nil {
		return err
	}
	cache, err := cacheDir()
	if err != nil {
		return err
	}
	folder := s.tool
	if spec.venv != "" {
		folder += "-" + spec.venv
	}
	dir := filepath.Join(cache, folder)
	s.python, err = pytest.Venv(ctx, pytest.VenvOptions{Dir: dir, Python: python, Requirements: slices.Concat(packages, spec.packages), Log: os.Stderr})
	if err != nil {
		return err
	}
	return s.compile(ctx, filepath.Join(dir, "compiled"))
}

// compile prepares what is installed, and has Python compile it, once: jobs
// write no bytecode, as each begins with a fresh checkout, but packages are
// installed with it.
func (s *benchSuite) compile(ctx context.Context, done string) error {
	if _, err := os.Stat(done); err == nil {
		return nil
	}
	const compileAll = "import compileall, sysconfig; compileall.compile_dir(sysconfig.get_path('purelib'), quiet=2)"
	for _, code := range []string{s.spec.prepare, compileAll} {
		if _, err := s.call(ctx, filepath.Dir(done), s.python, "-c", code); err != nil {
			return err
		}
	}
	return os.WriteFile(done, nil, 0o644)
}

func suiteNames() []string {
	var names []string
	for name := range suiteSpecs {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// findPython returns an interpreter of Python 3.minor or newer: python, or the
// first that is found on the path or where pyenv keeps them.
func findPython(ctx context.Context, python string, minor int) (string, error) {
	candidates := []string{python}
	if python == "" {
		candidates = []string{"python3", "python3.13", "python3.12", "python3.14", "python"}
		if home, err := os.UserHomeDir(); err == nil {
			more, _ := filepath.Glob(filepath.Join(home, ".pyenv", "versions", "3.*", "bin", "python3")) // the pattern is well formed
			slices.Reverse(more)
			candidates = append(candidates, more...)
		}
	}
	for _, name := range candidates {
		out, err := exec.CommandContext(ctx, name, "-c", "import sys; print(sys.version_info[1])").Output()
		if ctx.Err() != nil {
			return "", ctx.Err()
		}
		if have, notNumber := strconv.Atoi(strings.TrimSpace(string(out))); err == nil && notNumber == nil && have >= max(minor, 9) {
			return name, nil
		}
	}
	return "", fmt.Errorf("finding Python 3.%d or newer: none of %s is; name one with --python", max(minor, 9), strings.Join(candidates, ", "))
}

// write puts the suite on disk: paths below the working directory, as in a
// checkout.
func (s *benchSuite) write(ctx context.Context) error {
	s.recorded = map[string]error{}
	if err := os.MkdirAll(s.out, 0o755); err != nil {
		return err
	}
	spec := s.spec
	if spec.module == "" {
		_, err := s.call(ctx, filepath.Dir(s.out), s.python, "-c", fixtureSuite, s.dir, spec.scale, spec.clock)
		return err
	}
	if _, err := os.Stat(s.dir); err == nil {
		return nil // of an earlier run, with --keep
	}
	if err := s.copyPackage(ctx, spec); err != nil {
		return errors.Join(err, os.RemoveAll(s.dir))
	}
	return nil
}

// copyPackage copies a package from the virtual environment, and the libraries
// that wheels brought along, which go by the project's name, but no bytecode.
func (s *benchSuite) copyPackage(ctx context.Context, spec suiteSpec) error {
	const copyIt = `
import importlib.util, pathlib, shutil, sys
name, target = sys.argv[1], pathlib.Path(sys.argv[2])
spec = importlib.util.find_spec(name)
if spec is None or not (spec.origin or "").endswith("__init__.py"):
    sys.exit(f"{name} is no package: --module is what Python imports, such as sklearn, and --packages what pip installs, such as scikit-learn")
source = pathlib.Path(spec.origin).parent
no_bytecode = shutil.ignore_patterns("__pycache__")
shutil.copytree(source, target / name, ignore=no_bytecode)
for libs in source.parent.glob("*.libs"):
    shutil.copytree(libs, target / libs.name)
`
	if _, err := s.call(ctx, filepath.Dir(s.out), s.python, "-c", copyIt, spec.module, s.dir); err != nil {
		return err
	}
	for _, name := range spec.without {
		if err := os.Remove(filepath.Join(s.dir, spec.module, name)); err != nil {
			return err
		}
	}
	return nil
}
