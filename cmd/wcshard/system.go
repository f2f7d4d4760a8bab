package main

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/term"
)

// system is how a verb reaches its process: everything that a test wants to
// replace, and nothing that a verb could find out by itself.
type system struct {
	stdin          io.Reader
	stdout, stderr io.Writer
	environ        []string
}

func newSystem() *system {
	return &system{stdin: os.Stdin, stdout: os.Stdout, stderr: os.Stderr, environ: os.Environ()}
}

// getenv returns the value of an environment variable, "" where it is not set.
// As in a shell, the last assignment counts.
func (sys *system) getenv(name string) string {
	for i := len(sys.environ) - 1; i >= 0; i-- {
		if value, ok := strings.CutPrefix(sys.environ[i], name+"="); ok {
			return value
		}
	}
	return ""
}

// inCI reports whether this is a job of a CI. All whose jobs we can number set CI,
// to one value or another, but for Azure Pipelines, which sets TF_BUILD. CI=false
// is how people say that theirs is none; GitHub's is one all the same.
func (sys *system) inCI() bool {
	ci := sys.getenv("CI")
	return ci != "" && ci != "false" || sys.getenv("GITHUB_ACTIONS") == "true" || sys.getenv("TF_BUILD") != ""
}

// inGitLab reports whether this is a job of GitLab. CI_… variables alone do not
// tell: images keep some, and other CIs set some.
func (sys *system) inGitLab() bool { return sys.getenv("GITLAB_CI") == "true" }

// tokenVariable holds the token that action.yml passes on: only for wcshard's
// own questions to GitHub.
const tokenVariable = "WCSHARD_TOKEN"

// pytestEnviron is the environment for pytest: without the action's token, which
// is none of the tests' business.
func (sys *system) pytestEnviron() []string {
	return slices.DeleteFunc(slices.Clone(sys.environ), func(entry string) bool {
		return strings.HasPrefix(entry, tokenVariable+"=")
	})
}

// terminal reports whether somebody watches standard error.
func (sys *system) terminal() bool {
	f, ok := sys.stderr.(*os.File)
	return ok && term.IsTerminal(int(f.Fd())) && !sys.inCI()
}

// say prints one line for the user, with the program's name in front, on
// standard error: standard output is for machines. Whatever names are in it, it
// stays one line.
func (sys *system) say(format string, args ...any) {
	fmt.Fprintf(sys.stderr, "wcshard: %s\n", printable(fmt.Sprintf(format, args...)))
}

// warn is say for doubts that do not stop the work.
func (sys *system) warn(format string, args ...any) {
	sys.say("warning: "+format, args...)
}

// open opens a file for reading; "-" is standard input and a name ending in
// .gz is decompressed.
func (sys *system) open(name string) (io.ReadCloser, error) {
	if name == "-" {
		return io.NopCloser(sys.stdin), nil
	}
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	if info, err := f.Stat(); err == nil && info.IsDir() {
		f.Close()
		return nil, &failure{status: exitData, err: fmt.Errorf("%q is a folder, want a file", name), hint: "name a file in it"}
	}
	if !strings.HasSuffix(name, ".gz") {
		return f, nil
	}
	z, err := gzip.NewReader(bufio.NewReader(f))
	if err != nil {
		f.Close()
		return nil, damaged(name, err)
	}
	return gzipFile{z, f}, nil
}

// damaged is the error for a packed file that cannot be unpacked.
func damaged(name string, err error) error {
	if err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	return &failure{status: exitData, err: fmt.Errorf("unpacking %s: it is cut off or no gzip file: %w", name, err), hint: "fetch or make it again; a file that is not packed has a name without .gz"}
}

// packing is how hard files are compressed. On a history of 100,000 tests and 10
// runs this takes two fifths of the default's time, for a tenth more bytes.
const packing = 2

type gzipFile struct {
	*gzip.Reader
	file *os.File
}

func (g gzipFile) Read(p []byte) (int, error) {
	n, err := g.Reader.Read(p)
	if err != nil && err != io.EOF {
		err = damaged(g.file.Name(), err)
	}
	return n, err
}

func (g gzipFile) Close() error {
	return errors.Join(g.Reader.Close(), g.file.Close())
}

// writeJSON prints what is for machines on standard output.
func (sys *system) writeJSON(v any) error {
	encoder := json.NewEncoder(sys.stdout)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	return encoder.Encode(v)
}

// writeFile makes a file appear whole or not at all: written beside its place,
// synced, then renamed. What a link names is written, and the link stays; so is
// a device. A name ending in .gz is compressed, without a time of day in its
// header, so that the same content gives the same bytes. (renameio does the
// same, but not on Windows, and puts a file in the place of a device.)
func writeFile(name string, write func(io.Writer) error) (err error) {
	defer func() {
		if err != nil {
			err = &failure{status: exitIO, err: err, hint: "name a file in a folder that can be written and has room"}
		}
	}()
	if err := os.MkdirAll(filepath.Dir(name), 0o777); err != nil {
		return err
	}
	packed := strings.HasSuffix(name, ".gz")
	if target, err := filepath.EvalSymlinks(name); err == nil { // a link stays one
		name = target
	} else if target, err := os.Readlink(name); err == nil { // though what it names is gone
		if !filepath.IsAbs(target) {
			target = filepath.Join(filepath.Dir(name), target)
		}
		name = target
	}
	if info, err := os.Stat(name); err == nil && !info.Mode().IsRegular() && !info.IsDir() {
		file, err := os.OpenFile(name, os.O_WRONLY, 0) // a device or a pipe, which nothing can take the place of
		if err != nil {
			return err
		}
		return errors.Join(writeTo(file, packed, write), file.Close())
	}
	aside := fmt.Sprintf("%s.%d-%d.tmp", name, os.Getpid(), time.Now().UnixNano())
	file, err := os.OpenFile(aside, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o666)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			file.Close()
			os.Remove(aside)
		}
	}()
	err = writeTo(file, packed, write)
	for _, step := range []func() error{file.Sync, file.Close} {
		if err == nil {
			err = step() // the first failure says it; the rest follows from it
		}
	}
	if err != nil {
		return err
	}
	return os.Rename(aside, name)
}

// writeTo writes through a buffer, and compresses what is to be packed.
func writeTo(file *os.File, packed bool, write func(io.Writer) error) error {
	buffered := bufio.NewWriterSize(file, 1<<18)
	if !packed {
		if err := write(buffered); err != nil {
			return err
		}
		return buffered.Flush()
	}
	z, _ := gzip.NewWriterLevel(buffered, packing) // fails for no level that there is
	if err := errors.Join(write(z), z.Close()); err != nil {
		return err
	}
	return buffered.Flush()
}

// readLines returns the lines of a file without their line ends, and the
// number of each.
func readLines(r io.Reader, name string, line func(n int, text string) error) error {
	scanner := bufio.NewScanner(r)
	scanner.Buffer(make([]byte, 0, 1<<16), 1<<20)
	n := 0
	for scanner.Scan() {
		n++
		if err := line(n, string(bytes.TrimSuffix(scanner.Bytes(), []byte("\r")))); err != nil {
			return err
		}
	}
	if errors.Is(scanner.Err(), bufio.ErrTooLong) {
		return &failure{status: exitData, err: fmt.Errorf("%s:%d: the line is longer than 1 MiB", name, n+1)}
	}
	return scanner.Err()
}

// absent reports whether err says that a file is not there.
func absent(err error) bool {
	return errors.Is(err, fs.ErrNotExist)
}
