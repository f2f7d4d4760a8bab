package pytest

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// A suite that cannot be collected is an error with pytest's own words; one
// without tests is not.
func TestCollectErrors(t *testing.T) {
	oneOfFew(t)
	p := proof{command: pytestIn(t, "new"), dir: t.TempDir()}
	c := p.collect(t)
	if len(c.Tests) != 0 || c.Collector.Pytest != "9.2.0" {
		t.Errorf("collected %+v", c)
	}
	write(t, filepath.Join(p.dir, "test_bad.py"), "import no_such_module\n")
	_, err := Collect(t.Context(), p.command, CollectOptions{Dir: p.dir, Env: testEnv(), Args: []string{"-k", "not it"}})
	var exit *ExitError
	var hint *HintError
	if !asExit(err, &exit) || exit.Status != ExitInterrupted || !strings.Contains(exit.Output, "no_such_module") || !asHint(err, &hint) ||
		!strings.HasSuffix(hint.Hint, "try "+JoinWords(p.command.Argv...)+" --collect-only -k 'not it'") {
		t.Errorf("a module that cannot be imported: %v", err)
	}
	long := slices.Repeat([]string{"--deselect=test_a.py"}, 30)
	if _, err = Collect(t.Context(), p.command, CollectOptions{Dir: p.dir, Env: testEnv(), Args: long}); !asHint(err, &hint) ||
		!strings.HasSuffix(hint.Hint, " --collect-only, with the same arguments") {
		t.Errorf("with many arguments: %v, hint %q", err, hint.Hint)
	}
	write(t, filepath.Join(p.dir, "test_bad.py"), "def test_x():\n    pass\n")
	write(t, filepath.Join(p.dir, "conftest.py"), "def pytest_sessionfinish(session):\n    session.exitstatus = 1\n")
	if _, err = Collect(t.Context(), p.command, CollectOptions{Dir: p.dir, Env: testEnv()}); !asExit(err, &exit) || exit.Status != ExitFailed ||
		!strings.Contains(err.Error(), "exit status 1 (an error, though it ran no test)") || !asHint(err, &hint) {
		t.Errorf("an error at the end: %v", err)
	}
	if err := os.Remove(filepath.Join(p.dir, "conftest.py")); err != nil {
		t.Fatal(err)
	}
	_, err = Collect(t.Context(), p.command, CollectOptions{Dir: p.dir, Env: testEnv(), Args: []string{"--no-such-option"}})
	if !asExit(err, &exit) || exit.Status != ExitUsage || !strings.Contains(exit.Output, "no-such-option") {
		t.Errorf("an option that is not there: %v", err)
	}
	_, err = Collect(t.Context(), Command{Argv: []string{"true"}}, CollectOptions{Dir: p.dir})
	if !asHint(err, &hint) || !errors.Is(err, ErrNoPytest) {
		t.Errorf("a program that is not pytest: %v", err)
	}
	write(t, filepath.Join(p.dir, "pytest.ini"), "[pytest]\nfilterwarnings =\n    error\n    ignore::no_such_module.SomeWarning\n")
	_, err = Collect(t.Context(), p.command, CollectOptions{Dir: p.dir, Env: testEnv()})
	if !asExit(err, &exit) || exit.Status == 0 || errors.Is(err, ErrNoPytest) || !asHint(err, &hint) || !strings.Contains(hint.Hint, "--collect-only") {
		t.Errorf("a configuration that pytest cannot read: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Collect(ctx, p.command, CollectOptions{Dir: p.dir}); err == nil {
		t.Error("a cancelled collection: no error")
	}
}
