package pytest

import (
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"

	"pgregory.net/rapid"
)

func TestFind(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("paths of Unix")
	}
	type world struct {
		venv  string
		files []string
		path  []string
	}
	for _, test := range []struct {
		name    string
		command string
		world   world
		want    []string
		source  string
		err     string
	}{
		{name: "given", command: `"uv run" 'py test' -x`, want: []string{"uv run", "py test", "-x"}, source: "--pytest"},
		{name: "given before active", command: "x", world: world{venv: "/v", files: []string{"/v/bin/pytest"}},
			want: []string{"x"}, source: "--pytest"},
		{name: "given badly", command: `a "b`, err: "is not closed"},
		{name: "given nothing", command: "  ", err: "it is empty"},
		{name: "active", world: world{venv: "/v", files: []string{"/v/bin/pytest", "/d/.venv/bin/pytest"}},
			want: []string{"/v/bin/pytest"}, source: "the active virtual environment"},
		{name: "dot venv", world: world{venv: "/v", files: []string{"/d/.venv/bin/pytest", "/d/uv.lock"}, path: []string{"uv", "python3"}},
			want: []string{"/d/.venv/bin/pytest"}, source: "the virtual environment .venv"},
		{name: "uv", world: world{files: []string{"/d/uv.lock"}, path: []string{"uv", "python3"}},
			want: []string{"uv", "run", "pytest"}, source: "uv.lock"},
		{name: "uv's workspace", world: world{files: []string{"/uv.lock"}, path: []string{"uv", "python3"}},
			want: []string{"uv", "run", "pytest"}, source: "uv.lock"},
		{name: "uv outside the repository", world: world{files: []string{"/uv.lock", "/d/.git"}, path: []string{"uv", "python3"}},
			want: []string{"python3", "-m", "pytest"}, source: "python3 on the path"},
		{name: "uv without uv", world: world{files: []string{"/d/uv.lock"}, path: []string{"python3"}},
			want: []string{"python3", "-m", "pytest"}, source: "python3 on the path"},
		{name: "nothing", world: world{venv: "/v"},
			err: "looking for pytest: no /v/bin/pytest; no /d/.venv/bin/pytest; no uv.lock; no python3 on the path"},
	} {
		command, err := Find(FindOptions{
			Command: test.command,
			Dir:     "/d",
			Getenv: func(name string) string {
				if name == "VIRTUAL_ENV" {
					return test.world.venv
				}
				return ""
			},
			LookPath: func(file string) (string, error) {
				if slices.Contains(test.world.path, file) {
					return "/usr/bin/" + file, nil
				}
				return "", errors.New("no")
			},
			Exists: func(path string) bool { return slices.Contains(test.world.files, path) },
		})
		if test.err != "" {
			var hint *HintError
			if !errors.As(err, &hint) || hint.Hint == "" || !strings.Contains(err.Error(), test.err) {
				t.Errorf("%s: error %v, want a hint and %q", test.name, err, test.err)
			}
			continue
		}
		if err != nil || !slices.Equal(command.Argv, test.want) || command.Source != test.source {
			t.Errorf("%s: Find = %q (%s), %v, want %q (%s)", test.name, command.Argv, command.Source, err, test.want, test.source)
		}
	}
}

func TestFindWindows(t *testing.T) {
	command, err := Find(FindOptions{
		Windows:  true,
		Getenv:   func(string) string { return "" },
		Exists:   func(string) bool { return false },
		LookPath: func(file string) (string, error) { return file, nil },
	})
	if err != nil || !slices.Equal(command.Argv, []string{"python", "-m", "pytest"}) {
		t.Errorf("Find = %q, %v", command.Argv, err)
	}
}

// What is joined comes apart again.
func TestJoinWords(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		words := rapid.SliceOf(rapid.String()).Draw(t, "words")
		got, err := SplitWords(JoinWords(words...))
		if err != nil || !slices.Equal(got, words) {
			t.Errorf("SplitWords(%q) = %q, %v, want %q", JoinWords(words...), got, err, words)
		}
	})
	if got, want := JoinWords("a/b.py::t", "-k", "not slow", "it's", ""), "a/b.py::t -k 'not slow' 'it'\"'\"'s' ''"; got != want {
		t.Errorf("JoinWords() = %s, want %s", got, want)
	}
}

func TestSplitWords(t *testing.T) {
	for command, want := range map[string][]string{
		"":                   nil,
		"a b":                {"a", "b"},
		"  a\t b\n":          {"a", "b"},
		`'a b' "c d"`:        {"a b", "c d"},
		`a'b'"c"`:            {"abc"},
		`""`:                 {""},
		`'a"b' "c'd"`:        {`a"b`, "c'd"},
		`"a\"b" "\x" '\\'`:   {`a"b`, `\x`, `\\`},
		`a\ b \'`:            {"a b", "'"},
		`python "-m" pytest`: {"python", "-m", "pytest"},
		"-q \\\n tests":      {"-q", "tests"},
		"a\\\nb":             {"ab"},
		"\"a\\\nb\"":         {"ab"},
		"'a\\\nb'":           {"a\\\nb"},
		"\"\"\\\n b":         {"", "b"},
		"\xe9/py 'é \xff'":   {"\xe9/py", "é \xff"},
	} {
		got, err := SplitWords(command)
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("SplitWords(%q) = %q, %v, want %q", command, got, err, want)
		}
	}
	for _, command := range []string{`'`, `a "b`, `a\`} {
		if got, err := SplitWords(command); err == nil {
			t.Errorf("SplitWords(%q) = %q, want an error", command, got)
		}
	}
}

// Words that are quoted for a shell are the same words again, and what is no
// command is an error.
func FuzzSplitWords(f *testing.F) {
	f.Add("python3 -m pytest")
	f.Add(`'a b' "c\"d" e\ f ''`)
	f.Add("a\\\n'")
	f.Add("\x00\xff\u00a0")
	f.Fuzz(func(t *testing.T, command string) {
		words, err := SplitWords(command)
		if err != nil {
			if len(words) > 0 || !strings.ContainsAny(command, `'"\`) {
				t.Fatalf("SplitWords(%q) = %q, %v", command, words, err)
			}
			return
		}
		if n := len(strings.Join(words, "")); n > len(command) {
			t.Fatalf("SplitWords(%q) = %q, more than there was", command, words)
		}
		quoted := make([]string, len(words))
		for i, word := range words {
			quoted[i] = "'" + strings.ReplaceAll(word, "'", `'"'"'`) + "'"
		}
		again, err := SplitWords(strings.Join(quoted, " \t\n"))
		if err != nil || !slices.Equal(again, words) {
			t.Fatalf("SplitWords(%q) = %q, and quoted %q, %v", command, words, again, err)
		}
	})
}

func TestUserOptions(t *testing.T) {
	for line, want := range map[string]Options{
		"":                           {},
		"-v -q tests":                {},
		"-n 4":                       {Workers: true},
		"-n4":                        {Workers: true},
		"-n=4":                       {Workers: true},
		"-qn4":                       {Workers: true},
		"-qqvn auto":                 {Workers: true},
		"--numprocesses=auto":        {Workers: true},
		"--numprocesses auto":        {Workers: true},
		"--tx 2*popen":               {Workers: true},
		"--dist=load":                {Dist: true},
		"--dist loadfile":            {Dist: true},
		"-d":                         {Dist: true},
		"-x":                         {MaxFail: true},
		"-vx":                        {MaxFail: true},
		"-xn2":                       {MaxFail: true, Workers: true},
		"--exitfirst":                {MaxFail: true},
		"--maxfail=3":                {MaxFail: true},
		"--lf --ff --nf":             {LastFailed: true, FailedFirst: true, NewFirst: true},
		"--sw-skip":                  {Stepwise: true},
		"--cov --cov-fail-under=90":  {CoverUnder: true},
		"-kxn":                       {},
		"-pno:xdist":                 {},
		"-rx":                        {},
		"-m not_n":                   {},
		"-- -x -n4":                  {},
		"--maxfailures --distance":   {},
		"--durations=5 -W error -sv": {},
	} {
		if got := UserOptions(strings.Fields(line)); !reflect.DeepEqual(got, want) {
			t.Errorf("UserOptions(%q) = %+v, want %+v", line, got, want)
		}
	}
}

// Several that want one environment get the same, made once; what is half
// made or of other requirements is made anew.
func TestVenv(t *testing.T) {
	if testing.Short() {
		t.Skip("-short: no real Python")
	}
	t.Parallel()
	interpreter, err := FindPython("3.11")
	if err != nil {
		t.Skip(err)
	}
	dir := filepath.Join(t.TempDir(), "cache", "venv")
	log := &tail{}
	opts := VenvOptions{Dir: dir, Python: interpreter, Log: log}
	var group sync.WaitGroup
	for range 2 {
		group.Go(func() {
			if python, err := Venv(t.Context(), opts); err != nil || python != venvPython(dir) {
				t.Errorf("Venv = %q, %v", python, err)
			}
		})
	}
	group.Wait()
	trace := filepath.Join(dir, "trace")
	write(t, trace, "still the first")
	if _, err := Venv(t.Context(), opts); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(trace); err != nil {
		t.Errorf("a complete environment was made anew: %v", err)
	}
	if err := os.Remove(dir + ".stamp"); err != nil {
		t.Fatal(err)
	}
	if _, err := Venv(t.Context(), opts); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(trace); err == nil {
		t.Error("a half-made environment was kept")
	}
	opts.Python = filepath.Join(dir, "no such python")
	if _, err := Venv(t.Context(), opts); err == nil || !strings.Contains(err.Error(), "making the virtual environment") {
		t.Errorf("Venv with no Python: %v", err)
	}
}

func TestFindPythonMissing(t *testing.T) {
	if path, err := FindPython("3.0"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("FindPython(3.0) = %q, %v", path, err)
	}
}
