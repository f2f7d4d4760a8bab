package pytest

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// withUV puts the real uv first on the path.
func withUV(t *testing.T) (interpreter string) {
	t.Helper()
	if testing.Short() {
		t.Skip("-short: installs uv")
	}
	interpreter, err := FindPython("3.13")
	if err != nil {
		t.Skip(err)
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		t.Skip(err)
	}
	const uv = "uv==0.13.9"
	python, err := Venv(t.Context(), VenvOptions{Dir: filepath.Join(cache, "wcshard", "venv", "uv-venv-0.13.9"), Python: interpreter, Requirements: []string{uv}})
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", filepath.Dir(python)+string(os.PathListSeparator)+os.Getenv("PATH"))
	t.Setenv("UV_PYTHON_DOWNLOADS", "never")
	return interpreter
}

// With uv on the path a virtual environment is uv's: without pip.
func TestVenvUV(t *testing.T) {
	opts := VenvOptions{Dir: filepath.Join(t.TempDir(), "new", "venv"), Python: withUV(t), Requirements: []string{"pytest==9.2.0", "pytest-xdist>=3,<4"}}
	python, err := Venv(t.Context(), opts)
	if err != nil {
		t.Fatal(err)
	}
	const program = "import importlib.util as u, pytest, xdist; print(pytest.__version__, u.find_spec('pip'))"
	if out, err := exec.CommandContext(t.Context(), python, "-c", program).CombinedOutput(); err != nil || strings.TrimSpace(string(out)) != "9.2.0 None" {
		t.Errorf("the environment says %q, %v", out, err)
	}
	trace := filepath.Join(opts.Dir, "trace")
	write(t, trace, "still the first")
	if _, err := Venv(t.Context(), opts); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(trace); err != nil {
		t.Errorf("a complete environment was made anew: %v", err)
	}
	opts.Requirements = []string{"pytest==0.0.99"}
	if _, err := Venv(t.Context(), opts); err == nil || !strings.Contains(err.Error(), "pytest==0.0.99") {
		t.Errorf("Venv with a version that is not there: %v", err)
	}
	if _, err := os.Stat(opts.Dir + ".stamp"); err == nil {
		t.Error("an environment that could not be made has a stamp")
	}
}
