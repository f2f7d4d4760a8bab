package pytest

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/wcshard/wcshard/timing"
)

// InspectOptions is what an inspection looks at beside the collection.
type InspectOptions struct {
	Markers []string // taken for registered, so that --strict-markers does not end the collection
	Files   []string // as in node IDs: where their tests begin is wanted
}

// Inspection is what a collection says of the suite's configuration and
// source.
type Inspection struct {
	Root    string   // pytest's root directory
	Ini     string   // the file that configures pytest; "" where there is none
	Markers []string // registered ones, sorted
	Sources []Source // of the files that were asked for and could be parsed
}

// Source is where the tests of one file begin, by Python's own parser.
type Source struct {
	File   string         `json:"file"`   // as in node IDs
	Path   string         `json:"path"`   // absolute
	Pytest string         `json:"pytest"` // the name under which it imports pytest before its first test; "" where it does not
	Start  int            `json:"start"`  // the line of its first statement after docstring and __future__ imports
	Defs   map[string]int `json:"defs"`   // "::TestA::test_x" → line of its def or first decorator
}

type inspectConfig struct {
	Out     string   `json:"out"`
	Markers []string `json:"markers"`
	Files   []string `json:"files"`
}

// Inspect collects as Collect does, and looks at configuration and source. The
// inspection is there with an error, too, when pytest came as far as
// collecting.
func Inspect(ctx context.Context, command Command, opts CollectOptions, look InspectOptions) (*Collection, *Inspection, error) {
	p, err := newPlugin()
	if err != nil {
		return nil, nil, err
	}
	defer p.remove()
	config := inspectConfig{Out: filepath.Join(p.dir, "inspection.jsonl"), Markers: look.Markers, Files: look.Files}
	c, err := p.collect(ctx, command, opts, &config)
	inspection, readErr := inspectionIn(config.Out)
	if err == nil {
		err = readErr
	}
	return c, inspection, err
}

func inspectionIn(name string) (*Inspection, error) {
	file, err := os.Open(name)
	if err != nil {
		return nil, fmt.Errorf("opening the inspection: %w", err)
	}
	defer file.Close()
	return readInspection("pytest's inspection", file)
}

// readInspection reads what the plugin writes of an inspection, one JSON a line.
// Errors are [*timing.SyntaxError] under the given name.
func readInspection(name string, r io.Reader) (*Inspection, error) {
	in := &Inspection{}
	lines := bufio.NewReader(r)
	for n := 1; ; n++ {
		line, err := readLine(lines)
		if err == io.EOF {
			return in, nil
		}
		if err == nil {
			err = in.read(line)
		}
		if err != nil {
			return nil, &timing.SyntaxError{File: name, Line: n, Msg: err.Error()}
		}
	}
}

func (in *Inspection) read(line []byte) error {
	var e struct {
		T       string
		Root    string
		Ini     string
		Markers []string
		Source
	}
	if err := unmarshal(line, &e); err != nil {
		return err
	}
	switch e.T {
	case "config":
		in.Root, in.Ini, in.Markers = e.Root, e.Ini, e.Markers
	case "source":
		in.Sources = append(in.Sources, e.Source)
	default:
		return fmt.Errorf("there is no line of type %q", e.T)
	}
	return nil
}
