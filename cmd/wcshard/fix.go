package main

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/wcshard/wcshard/cmd/wcshard/internal/patch"
	"github.com/wcshard/wcshard/shard/pytest"
	"github.com/wcshard/wcshard/timing"
)

// A change is what a patch does to one file.
type change struct {
	name   string // absolute
	old    []byte // nil: a new file
	edits  []patch.Edit
	show   []string // the lines that are new
	byHand bool     // there is no place that is sure to be right
}

// errOutside means that a file is in no place that a patch made here reaches.
var errOutside = errors.New("it is neither in a git repository nor in the working directory")

// diff returns the change as a patch, whose names are relative to the top of
// the git repository, or to the working directory where there is none.
func (c *change) diff() ([]byte, error) {
	top, err := topOf(filepath.Dir(c.name))
	if err != nil {
		return nil, err
	}
	name, err := filepath.Rel(top, c.name)
	if err != nil || !filepath.IsLocal(name) {
		return nil, errOutside
	}
	return patch.Diff(filepath.ToSlash(name), c.old, c.edits), nil
}

// above reports whether the file is not below the working directory.
func (c *change) above() bool {
	here, err := dir()
	if err == nil {
		here, err = filepath.EvalSymlinks(here)
	}
	if err != nil {
		return false
	}
	name, err := filepath.Rel(here, c.name)
	return err != nil || !filepath.IsLocal(name)
}

// topOf returns the top of the git repository that a folder is in, else the
// working directory.
func topOf(folder string) (string, error) {
	for at := folder; ; at = filepath.Dir(at) {
		if _, err := os.Stat(filepath.Join(at, ".git")); err == nil {
			return at, nil
		}
		if at == filepath.Dir(at) {
			break
		}
	}
	here, err := dir()
	if err != nil {
		return "", err
	}
	return filepath.EvalSymlinks(here)
}

// A text is a file to be changed, with its lines and how they end.
type text struct {
	name  string
	old   []byte
	lines []string
	end   string // of a line
}

func readText(name string) (*text, error) {
	if real, err := filepath.EvalSymlinks(name); err == nil {
		name = real
	}
	old, err := os.ReadFile(name)
	if err != nil {
		return nil, err
	}
	f := &text{name: name, old: old, lines: strings.SplitAfter(string(old), "\n"), end: "\n"}
	if f.lines[len(f.lines)-1] == "" {
		f.lines = f.lines[:len(f.lines)-1]
	}
	if strings.HasSuffix(strings.Join(f.lines[:min(1, len(f.lines))], ""), "\r\n") {
		f.end = "\r\n"
	}
	return f, nil
}

// insert puts lines before line number at, from 1; one more than there are
// puts them at the end.
func (f *text) insert(at int, lines ...string) patch.Edit {
	for i := range lines {
		lines[i] += f.end
	}
	n := len(f.lines)
	if at > n && n > 0 && !strings.HasSuffix(f.lines[n-1], "\n") {
		return patch.Edit{Line: n, Remove: 1, Insert: append([]string{f.lines[n-1] + f.end}, lines...)}
	}
	return patch.Edit{Line: at, Insert: lines}
}

// marks returns the changes that give the marker to each function that lacks
// it.
func (x *examination) marks() ([]change, error) {
	byFile := map[string][]*function{}
	var files []string
	for _, f := range x.mark {
		file := f.id.File()
		if byFile[file] == nil {
			files = append(files, file)
		}
		byFile[file] = append(byFile[file], f)
	}
	slices.Sort(files)
	var changes []change
	for _, file := range files {
		i := slices.IndexFunc(x.seen.Sources, func(s pytest.Source) bool { return s.File == file })
		if i < 0 {
			x.sys.say("hint: %s is no Python source that can be marked by a patch: mark it by hand", printable(file))
			continue
		}
		c, err := x.markFile(&x.seen.Sources[i], byFile[file])
		if err != nil {
			return nil, err
		}
		if len(c.edits) > 0 {
			changes = append(changes, c)
		}
	}
	return changes, nil
}

// markFile puts a decorator above the first line of each function, and the
// import of pytest above the first statement where it is missing.
func (x *examination) markFile(source *pytest.Source, functions []*function) (change, error) {
	f, err := readText(source.Path)
	if err != nil {
		return change{}, err
	}
	c := change{name: f.name, old: f.old}
	for _, fn := range functions {
		line := source.Defs[timing.NodeID(fn.id).Rest()]
		if line < 1 || line > len(f.lines) {
			x.sys.say("hint: %s is not defined in %s itself: mark it by hand", printable(string(fn.id)), printable(source.File))
			continue
		}
		first := f.lines[line-1]
		indent := first[:len(first)-len(strings.TrimLeft(first, " \t\f"))]
		c.edits = append(c.edits, f.insert(line, indent+"@"+cmp.Or(source.Pytest, "pytest")+".mark."+x.marker))
	}
	if source.Pytest == "" && len(c.edits) > 0 {
		if source.Start < 1 {
			return change{}, errors.New("a file of tests without a statement")
		}
		// First, so that it stands above a decorator on the same line.
		c.edits = append([]patch.Edit{f.insert(source.Start, "import pytest")}, c.edits...)
	}
	return c, nil
}

// meaning is what is registered for a memory marker.
const meaning = `marks tests as memory-intensive (deselect with '-m "not %s"')`

// register returns the change that registers markers in the file that
// configures pytest, or in a new one.
func register(root, ini string, markers []string) (*change, error) {
	if ini == "" {
		ini = filepath.Join(root, "pyproject.toml")
		if _, err := os.Stat(ini); err != nil {
			lines := append([]string{"[pytest]\n", "markers =\n"}, withEnds(plainLines(markers), "\n")...)
			return &change{name: filepath.Join(root, "pytest.ini"), show: lines, edits: []patch.Edit{{Line: 1, Insert: lines}}}, nil
		}
	}
	f, err := readText(ini)
	if err != nil {
		return nil, err
	}
	if strings.HasSuffix(ini, ".toml") {
		return f.registerTOML(markers), nil
	}
	return f.registerINI(markers), nil
}

func withEnds(lines []string, end string) []string {
	for i := range lines {
		lines[i] += end
	}
	return lines
}

// plainLines are the lines of an INI file's list of markers, or of a
// multi-line string in TOML.
func plainLines(markers []string) []string {
	var lines []string
	for _, m := range markers {
		lines = append(lines, "    "+m+": "+fmt.Sprintf(meaning, m))
	}
	return lines
}

// quotedLines are the elements of a TOML array.
func quotedLines(markers []string) []string {
	var lines []string
	for _, m := range markers {
		text := strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(m + ": " + fmt.Sprintf(meaning, m))
		lines = append(lines, `    "`+text+`",`)
	}
	return lines
}

var (
	iniSections = map[string]string{"setup.cfg": "[tool:pytest]"}
	iniMarkers  = regexp.MustCompile(`^markers\s*[=:]`)

	tomlSection = regexp.MustCompile(`^\s*\[\s*(tool\s*\.\s*pytest(\s*\.\s*ini_options)?|pytest)\s*\]`)
	tomlTable   = regexp.MustCompile(`^\s*\[\[?\s*[A-Za-z0-9_"'.-]+`)
	tomlMarkers = regexp.MustCompile(`^(\s*markers\s*=\s*)(.*?)(\r?\n)?$`)
	tomlOpen    = regexp.MustCompile(`^\[\s*(#.*)?$`)
)

// registerINI adds lines below "markers =", or makes such a list.
func (f *text) registerINI(markers []string) *change {
	c := &change{name: f.name, old: f.old, show: plainLines(markers)}
	section := cmp.Or(iniSections[filepath.Base(f.name)], "[pytest]")
	at := slices.IndexFunc(f.lines, func(line string) bool { return strings.HasPrefix(line, section) })
	if at < 0 {
		c.show = append([]string{section, "markers ="}, c.show...)
		c.edits = []patch.Edit{f.insert(len(f.lines)+1, slices.Clone(c.show)...)}
		return c
	}
	for i := at + 1; i < len(f.lines) && !strings.HasPrefix(f.lines[i], "["); i++ {
		if iniMarkers.MatchString(f.lines[i]) {
			c.edits = []patch.Edit{f.insert(i+2, slices.Clone(c.show)...)}
			return c
		}
	}
	c.show = append([]string{"markers ="}, c.show...)
	c.edits = []patch.Edit{f.insert(at+2, slices.Clone(c.show)...)}
	return c
}

// registerTOML adds elements to the array of markers, or lines to the string,
// or makes an array.
func (f *text) registerTOML(markers []string) *change {
	c := &change{name: f.name, old: f.old, show: quotedLines(markers)}
	array := slices.Concat([]string{"markers = ["}, c.show, []string{"]"})
	at := slices.IndexFunc(f.lines, func(line string) bool { return tomlSection.MatchString(line) })
	if at < 0 {
		section := "[tool.pytest.ini_options]"
		if filepath.Base(f.name) != "pyproject.toml" {
			section = "[pytest]" // pytest.toml
		}
		c.show = append([]string{section}, array...)
		if bytes.Contains(f.old, []byte("pytest.ini_options")) {
			c.byHand = true // the table is spelt in another way
			return c
		}
		c.edits = []patch.Edit{f.insert(len(f.lines)+1, append([]string{""}, c.show...)...)}
		return c
	}
	for i := at + 1; i < len(f.lines) && !tomlTable.MatchString(f.lines[i]); i++ {
		match := tomlMarkers.FindStringSubmatch(f.lines[i])
		if match == nil {
			continue
		}
		f.addTOML(c, i, match, markers)
		return c
	}
	c.show = array
	c.edits = []patch.Edit{f.insert(at+2, slices.Clone(array)...)}
	return c
}

// addTOML adds to the value that begins in line i.
func (f *text) addTOML(c *change, i int, match []string, markers []string) {
	key, value, end := match[1], match[2], match[3]
	switch {
	case tomlOpen.MatchString(value):
		c.edits = []patch.Edit{f.insert(i+2, slices.Clone(c.show)...)}
	case strings.HasPrefix(value, "["):
		first := key + "["
		for _, line := range c.show {
			first += strings.TrimSpace(line) + " "
		}
		line := first + strings.TrimLeft(value[1:], " \t")
		c.show = []string{line}
		c.edits = []patch.Edit{{Line: i + 1, Remove: 1, Insert: []string{line + end}}}
	case value == `"""` || value == `'''`:
		c.show = plainLines(markers)
		c.edits = []patch.Edit{f.insert(i+2, slices.Clone(c.show)...)}
	default:
		c.byHand = true
	}
}
