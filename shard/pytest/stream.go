package pytest

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"unicode/utf8"

	"github.com/wcshard/wcshard/shard"
	"github.com/wcshard/wcshard/timing"
)

// collectionVersion is the version of the stream that the plugin writes when
// it collects: both are of the same wcshard, so no other one is ever right.
const collectionVersion = 1

// maxLine bounds a line of the stream: a node ID may have parameters of many
// kilobytes.
const maxLine = 16 << 20

// Collection is what pytest collected.
type Collection struct {
	Tests     []CollectedTest     // in running order
	Libraries map[string][]string // what each file imports, by itself or by way of others, that start-up has not: "scipy.stats", sorted; files may share the slices
	Collector shard.Collector     // Args is what the caller passed
	Notes     []string            // what the user should know, such as an option that was switched off
}

// CollectedTest is one collected test. Tests with the same markers or fixtures
// share the slices.
type CollectedTest struct {
	ID       timing.NodeID
	Markers  []string // sorted
	Group    string   // what stays together with it on one worker: its xdist_group, or tests that depend on each other
	Fixtures []string // IDs of the shared fixtures it is known to need, sorted: "module tests/test_a.py::model"
}

// header is the first line of a collection stream.
type header struct {
	Wcshard string `json:"wcshard"`
	Version int    `json:"version"`
	Pytest  string `json:"pytest"`
	Python  string `json:"python"`
	Xdist   string `json:"xdist"`
	Root    string `json:"root"`
	Order   string `json:"order"`
	Seed    *int64 `json:"seed"`
}

// event is any later line.
type event struct {
	T         string          `json:"t"`
	ID        string          `json:"id"`
	Markers   json.RawMessage `json:"markers"`
	Group     string          `json:"group"`
	Fixtures  json.RawMessage `json:"fixtures"`
	Libraries []string        `json:"libraries"`
	Files     []string        `json:"files"`
	Folders   []string        `json:"folders"`
	Last      []string        `json:"last"`
	Order     string          `json:"order"`
	Values    string          `json:"values"`
	Text      string          `json:"text"`
}

// errNoEnd tells a stream that stops before its end.
var errNoEnd = errors.New("the collection has no end")

// readCollection reads a collection stream. Errors are [*timing.SyntaxError]
// under the given name, or wrap errNoEnd for a stream that stops.
func readCollection(name string, r io.Reader) (*Collection, error) {
	p := parser{name: name, collection: &Collection{}, lists: map[string][]string{}}
	lines := bufio.NewReaderSize(r, 1<<16)
	for {
		line, err := readLine(lines)
		if err == io.EOF {
			break
		}
		p.line++
		if err != nil {
			return nil, p.fail(err)
		}
		if err := p.read(line); err != nil {
			return nil, p.fail(err)
		}
	}
	if !p.ended {
		return nil, fmt.Errorf("reading %s after line %d: %w", name, p.line, errNoEnd)
	}
	return p.collection, nil
}

// readLine returns the next line without its end; io.EOF after the last. The
// bytes are good until the next call.
func readLine(r *bufio.Reader) ([]byte, error) {
	line, err := r.ReadSlice('\n')
	if err == nil {
		return line[:len(line)-1], nil
	}
	long := bytes.Clone(line)
	for err == bufio.ErrBufferFull && len(long) <= maxLine {
		line, err = r.ReadSlice('\n')
		long = append(long, line...)
	}
	switch {
	case len(long) > maxLine:
		return nil, fmt.Errorf("the line is longer than %d bytes", maxLine)
	case err == nil:
		return long[:len(long)-1], nil
	case err == io.EOF && len(long) > 0:
		return nil, errors.New("the line has no end")
	}
	return nil, err
}

type parser struct {
	name       string
	line       int
	collection *Collection
	ended      bool
	lists      map[string][]string // lists by their JSON: a million tests have few different ones
}

func (p *parser) fail(err error) error {
	return &timing.SyntaxError{File: p.name, Line: p.line, Msg: err.Error()}
}

func (p *parser) read(line []byte) error {
	if !utf8.Valid(line) {
		return errors.New("not valid UTF-8")
	}
	if p.line == 1 {
		return p.readHeader(line)
	}
	if p.ended {
		return errors.New("a line after the end")
	}
	if test, ok := p.quickTest(line); ok {
		p.add(test)
		return nil
	}
	var e event
	if err := unmarshal(line, &e); err != nil {
		return err
	}
	c := p.collection
	switch e.T {
	case "imports":
		if c.Libraries == nil {
			c.Libraries = map[string][]string{}
		}
		for _, file := range e.Files {
			c.Libraries[file] = e.Libraries
		}
	case "test":
		return p.readTest(e)
	case "conftests":
		c.Collector.Conftests = e.Folders
	case "places":
		c.Collector.Places, c.Collector.LastPlaces = e.Folders, e.Last
	case "parameters":
		c.Collector.Parameters = append(c.Collector.Parameters, shard.Parameters{ID: e.ID, Order: e.Order, Values: e.Values})
	case "note":
		c.Notes = append(c.Notes, e.Text)
	case "end":
		p.ended = true
	default:
		return fmt.Errorf("a line of type %q, want test, imports, conftests, places, parameters, note or end", e.T)
	}
	return nil
}

func (p *parser) readHeader(line []byte) error {
	var h header
	if err := unmarshal(line, &h); err != nil {
		return err
	}
	if h.Wcshard != "collection" || h.Version != collectionVersion {
		return fmt.Errorf("this is %q version %d, want \"collection\" version %d", h.Wcshard, h.Version, collectionVersion)
	}
	p.collection.Collector = shard.Collector{
		Pytest: h.Pytest, Python: h.Python, Xdist: h.Xdist, Root: h.Root, Order: h.Order, Seed: h.Seed,
	}
	return nil
}

func (p *parser) readTest(e event) error {
	if e.ID == "" {
		return errors.New("a test without an ID")
	}
	markers, err := p.list(e.Markers)
	if err != nil {
		return err
	}
	fixtures, err := p.list(e.Fixtures)
	if err != nil {
		return err
	}
	p.add(CollectedTest{
		ID: timing.NodeID(e.ID), Markers: markers, Group: e.Group, Fixtures: fixtures,
	})
	return nil
}

// add doubles the slice where it is full: append would take a quarter more at a
// time, and copy a million tests five times over.
func (p *parser) add(test CollectedTest) {
	tests := p.collection.Tests
	if n := len(tests); n == cap(tests) {
		tests = slices.Grow(tests, max(n, 1<<10))
	}
	p.collection.Tests = append(tests, test)
}

// quickTest reads the line of a test as the plugin writes nearly all of them,
// without escapes and with lists seen before; ok is false for any other, which
// is for encoding/json. A million tests take a tenth of the time.
func (p *parser) quickTest(line []byte) (test CollectedTest, ok bool) {
	rest, ok := bytes.CutPrefix(line, []byte(`{"t":"test","id":"`))
	if !ok || bytes.IndexByte(rest, '\\') >= 0 {
		return test, false
	}
	id, rest, _ := bytes.Cut(rest, []byte(`","markers":`))
	markers, rest, _ := bytes.Cut(rest, []byte(`,"group":"`))
	group, rest, _ := bytes.Cut(rest, []byte(`","fixtures":`))
	fixtures, end := bytes.CutSuffix(rest, []byte("}"))
	if !end || !plainString(id) || len(id) == 0 || !plainString(group) {
		return test, false
	}
	if test.Markers, ok = p.lists[string(markers)]; !ok {
		return test, false
	}
	if test.Fixtures, ok = p.lists[string(fixtures)]; !ok {
		return test, false
	}
	test.ID, test.Group = timing.NodeID(id), string(group)
	return test, true
}

// plainString reports whether what stands between two quotes stands for
// itself.
func plainString(b []byte) bool {
	for _, c := range b {
		if c == '"' || c < ' ' {
			return false
		}
	}
	return true
}

func (p *parser) list(raw json.RawMessage) ([]string, error) {
	if len(raw) == 0 {
		return nil, nil
	}
	if list, ok := p.lists[string(raw)]; ok {
		return list, nil
	}
	var list []string
	if err := json.Unmarshal(raw, &list); err != nil {
		return nil, err
	}
	p.lists[string(raw)] = list
	return list, nil
}

func unmarshal(line []byte, into any) error {
	decoder := json.NewDecoder(bytes.NewReader(line))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(into); err != nil {
		return err
	}
	if decoder.More() {
		return errors.New("more than one JSON value on a line")
	}
	return nil
}
