package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/wcshard/wcshard/shard/pytest"
)

const uvPackage = "uv==0.13.9" // by PyPI's name

// uvEnvironment has the real uv first on the path. uv keeps what it downloads
// in its own cache, and takes the interpreter that is here.
func uvEnvironment(t *testing.T) []string {
	t.Helper()
	if testing.Short() {
		t.Skip("installs " + uvPackage)
	}
	python, err := demoPython(t.Context())
	if err != nil {
		t.Skip(err)
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		t.Skip(err)
	}
	venv := filepath.Join(cache, "wcshard", "venv", strings.ReplaceAll(uvPackage, "==", "-"))
	installed, err := pytest.Venv(t.Context(), pytest.VenvOptions{Dir: venv, Python: python, Requirements: []string{uvPackage}, Log: t.Output()})
	if err != nil {
		t.Fatal(err)
	}
	// The environment's folder of programs also has a python, which is not to
	// be the one that uv finds.
	programs := t.TempDir()
	name := "uv" + filepath.Ext(installed)
	if err := os.Symlink(filepath.Join(filepath.Dir(installed), name), filepath.Join(programs, name)); err != nil {
		t.Skip(err)
	}
	// A shim would be another interpreter each time, and a reason for uv to make
	// the environment anew.
	real, err := exec.CommandContext(t.Context(), python, "-c", "import sys; print(sys.executable, end='')").Output()
	if err != nil {
		t.Fatal(err)
	}
	environ := []string{
		"PATH=" + programs + string(os.PathListSeparator) + os.Getenv("PATH"),
		"UV_CACHE_DIR=" + filepath.Join(cache, "uv"),
		"UV_PYTHON=" + string(real),
		"UV_PYTHON_DOWNLOADS=never",
	}
	for _, variable := range os.Environ() { // how to reach a package index from here
		if name, _, _ := strings.Cut(strings.ToUpper(variable), "="); strings.HasPrefix(name, "SSL_CERT_") || strings.HasSuffix(name, "_PROXY") || strings.HasPrefix(name, "UV_") {
			environ = append(environ, variable)
		}
	}
	return environ
}

// TestUVScript runs testdata/uv, with the real uv and no active environment.
func TestUVScript(t *testing.T) {
	runScripts(t, "testdata/uv", "", uvEnvironment(t)...)
}
