package pytest

import (
	"errors"
	"fmt"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
)

// Command is a way to call pytest.
type Command struct {
	Argv   []string // the program and its first arguments; pytest's own follow
	Source string   // where it was found, for messages: "the active virtual environment"
}

func (c Command) String() string {
	return strings.Join(c.Argv, " ")
}

// HintError is an error that the user can do something about.
type HintError struct {
	Err  error
	Hint string // what to do, in the imperative
}

func (e *HintError) Error() string { return e.Err.Error() }

// Unwrap returns the error without its hint.
func (e *HintError) Unwrap() error { return e.Err }

// FindOptions is where Find looks. It reaches the system only by its functions.
type FindOptions struct {
	Command  string                            // what --pytest says, quoted as in a shell; "" to look for pytest
	Dir      string                            // the directory with .venv or uv.lock; "" for the current one
	Getenv   func(string) string               // environment
	LookPath func(file string) (string, error) // as exec.LookPath
	Exists   func(path string) bool            // whether there is a file
	Windows  bool                              // where a virtual environment keeps its programs, and how python is called
}

// Find returns the user's own pytest: the given command, else that of the
// active virtual environment, of .venv, of uv, or of the system's Python. The
// error, a [*HintError], says where it looked.
func Find(opts FindOptions) (Command, error) {
	if opts.Command != "" {
		return given(opts.Command)
	}
	var tried []string
	for _, look := range []func(FindOptions) (Command, string){findActive, findDotVenv, findUV, findPython} {
		command, missing := look(opts)
		if missing == "" {
			return command, nil
		}
		tried = append(tried, missing)
	}
	return Command{}, &HintError{
		Err:  fmt.Errorf("looking for pytest: %s", strings.Join(tried, "; ")),
		Hint: "activate the virtual environment that has pytest, or name it: --pytest \"uv run pytest\"",
	}
}

func given(command string) (Command, error) {
	argv, err := SplitWords(command)
	if err == nil && len(argv) == 0 {
		err = errors.New("it is empty")
	}
	if err != nil {
		return Command{}, &HintError{
			Err:  fmt.Errorf("reading --pytest %q: %w", command, err),
			Hint: "quote it as in a shell: --pytest \"python -m pytest\"",
		}
	}
	return Command{Argv: argv, Source: "--pytest"}, nil
}

func findActive(opts FindOptions) (Command, string) {
	venv := opts.Getenv("VIRTUAL_ENV")
	if venv == "" {
		return Command{}, "no virtual environment is active"
	}
	return inVenv(opts, venv, "the active virtual environment")
}

func findDotVenv(opts FindOptions) (Command, string) {
	return inVenv(opts, filepath.Join(opts.Dir, ".venv"), "the virtual environment .venv")
}

// inVenv calls the environment's pytest program, as users do: its Python with
// "-m pytest" would also put the current directory on the import path.
func inVenv(opts FindOptions, venv, source string) (Command, string) {
	program := filepath.Join(venv, "bin", "pytest")
	if opts.Windows {
		program = filepath.Join(venv, "Scripts", "pytest.exe")
	}
	if !opts.Exists(program) {
		return Command{}, fmt.Sprintf("no %s", program)
	}
	return Command{Argv: []string{absolute(program)}, Source: source}, ""
}

func findUV(opts FindOptions) (Command, string) {
	if !locked(opts) {
		return Command{}, "no uv.lock"
	}
	if _, err := opts.LookPath("uv"); err != nil {
		return Command{}, "there is a uv.lock, but no uv on the path"
	}
	return Command{Argv: []string{"uv", "run", "pytest"}, Source: "uv.lock"}, ""
}

// locked reports whether uv keeps this project: uv.lock is beside it or, for a
// member of a workspace, in a folder above it within the repository.
func locked(opts FindOptions) bool {
	for dir := absolute(opts.Dir); ; dir = filepath.Dir(dir) {
		if opts.Exists(filepath.Join(dir, "uv.lock")) {
			return true
		}
		if opts.Exists(filepath.Join(dir, ".git")) || dir == filepath.Dir(dir) {
			return false
		}
	}
}

func findPython(opts FindOptions) (Command, string) {
	name := "python3"
	if opts.Windows {
		name = "python"
	}
	if _, err := opts.LookPath(name); err != nil {
		return Command{}, fmt.Sprintf("no %s on the path", name)
	}
	return Command{Argv: []string{name, "-m", "pytest"}, Source: name + " on the path"}, ""
}

// absolute keeps a program found beside the project reachable from whatever
// directory it is started in.
func absolute(path string) string {
	if abs, err := filepath.Abs(path); err == nil {
		return abs
	}
	return path
}

var plainWord = regexp.MustCompile(`^[A-Za-z0-9_@%+=:,./-]+$`)

// JoinWords makes a command of words, safe to paste into a POSIX shell and to print in a
// CI log, where "::" at the start of a line is a command.
func JoinWords(words ...string) string {
	quoted := make([]string, len(words))
	for i, word := range words {
		if quoted[i] = word; !plainWord.MatchString(word) {
			quoted[i] = "'" + strings.ReplaceAll(word, "'", `'"'"'`) + "'" // SplitWords takes no backslash on Windows
		}
	}
	return strings.Join(quoted, " ")
}

// SplitWords splits a command into words as a POSIX shell does: blanks
// separate, single and double quotes and the backslash protect. On Windows the
// backslash is a letter, since paths are full of them.
func SplitWords(command string) ([]string, error) {
	var words []string
	var word strings.Builder
	inWord, quote, escaped := false, byte(0), false
	for i := range len(command) { // paths need not be UTF-8
		c := command[i]
		switch {
		case escaped && c == '\n':
			escaped = false // the line goes on, and what stands before it, if anything
		case escaped:
			inWord = true
			if quote == '"' && strings.IndexByte("\"\\$`", c) < 0 {
				word.WriteByte('\\')
			}
			word.WriteByte(c)
			escaped = false
		case c == '\\' && quote != '\'' && runtime.GOOS != "windows":
			escaped = true
		case quote != 0:
			if c == quote {
				quote = 0
			} else {
				word.WriteByte(c)
			}
		case c == '\'' || c == '"':
			inWord, quote = true, c
		case c == ' ' || c == '\t' || c == '\n':
			if inWord {
				words = append(words, word.String())
				word.Reset()
				inWord = false
			}
		default:
			inWord = true
			word.WriteByte(c)
		}
	}
	switch {
	case quote != 0:
		return nil, fmt.Errorf("the quote %c is not closed", quote)
	case escaped:
		return nil, errors.New("nothing follows the last backslash")
	case inWord:
		words = append(words, word.String())
	}
	return words, nil
}
