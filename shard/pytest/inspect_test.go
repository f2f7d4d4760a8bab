package pytest

import (
	"bytes"
	"errors"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/wcshard/wcshard/timing"
)

// An inspection says which markers are registered, by file and by code, and
// finds tests where Python's parser does. A marker that is not registered does
// not end it, though the suite is strict.
func TestInspect(t *testing.T) {
	for _, version := range []string{"new", "old"} {
		t.Run(version, func(t *testing.T) {
			oneOfFew(t)
			command, dir := pytestIn(t, version), suite(t, "inspect")
			c, in, err := Inspect(t.Context(), command, CollectOptions{Dir: dir, Env: testEnv()}, InspectOptions{
				Markers: []string{"memory_intensive"},
				Files:   []string{"test_source.py", "test_plain.py", "test_crlf.py", "test_absent.py"},
			})
			if err != nil {
				t.Fatal(err)
			}
			if in.Ini != filepath.Join(in.Root, "pytest.ini") {
				t.Errorf("configured by %q in %q, want pytest.ini", in.Ini, in.Root)
			}
			for _, m := range []string{"slow", "fixed", "from_conftest", "parametrize"} {
				if !slices.Contains(in.Markers, m) {
					t.Errorf("%q is not registered, only %q", m, in.Markers)
				}
			}
			if slices.Contains(in.Markers, "memory_intensive") {
				t.Error("memory_intensive is registered")
			}
			want := map[string]Source{
				"test_source.py": {Pytest: "pt", Start: 6, Defs: map[string]int{
					"::test_decorated": 11, "::TestA": 18, "::TestA::test_method": 19, "::TestA::TestB": 23, "::TestA::TestB::test_nested": 24,
					"::test_twice": 37, "::test_async": 33,
				}},
				"test_plain.py": {Start: 1, Defs: map[string]int{"::test_plain": 1}},
				"test_crlf.py":  {Start: 2, Defs: map[string]int{"::TestCase": 5, "::TestCase::test_unit": 6}},
			}
			if len(in.Sources) != len(want) {
				t.Errorf("%d sources, want %d", len(in.Sources), len(want))
			}
			for _, s := range in.Sources {
				w := want[s.File]
				w.File, w.Path = s.File, filepath.Join(in.Root, s.File)
				if !reflect.DeepEqual(s, w) {
					t.Errorf("source %+v, want %+v", s, w)
				}
			}
			i := slices.IndexFunc(c.Tests, func(x CollectedTest) bool { return x.ID == timing.NodeID("test_source.py::TestA::TestB::test_nested") })
			if i < 0 || !slices.Contains(c.Tests[i].Markers, "memory_intensive") {
				t.Errorf("the collection is %+v", c.Tests)
			}
		})
	}
}

// A line that the plugin does not write is an error that names it.
func TestReadInspection(t *testing.T) {
	good := `{"t":"config","root":"/r","ini":"/r/pytest.ini","markers":["slow"]}` + "\n"
	in, err := readInspection("i", strings.NewReader(good+`{"t":"source","file":"a.py","path":"/r/a.py","pytest":"","start":1,"defs":{"::t":2}}`+"\n"))
	want := &Inspection{Root: "/r", Ini: "/r/pytest.ini", Markers: []string{"slow"}, Sources: []Source{{File: "a.py", Path: "/r/a.py", Start: 1, Defs: map[string]int{"::t": 2}}}}
	if err != nil || !reflect.DeepEqual(in, want) {
		t.Errorf("read %+v, %v, want %+v", in, err, want)
	}
	for text, want := range map[string]string{
		"x\n":                        "i:1: invalid character",
		good + `{"t":"source"`:       "i:2: the line has no end",
		good + `{"t":"test"}` + "\n": `i:2: there is no line of type "test"`,
		good + `{"t":"source","start":"1"}` + "\n": "i:2: json: cannot unmarshal string",
		good + good + `{"x":1}` + "\n":             `i:3: json: unknown field "x"`,
	} {
		if _, err := readInspection("i", strings.NewReader(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
	}
}

// Whatever comes is an inspection or an error with the line of the fault.
func FuzzReadInspection(f *testing.F) {
	f.Add([]byte(`{"t":"config","root":"/r","ini":"","markers":[]}` + "\n" + `{"t":"source","file":"a.py","path":"/r/a.py","pytest":"pt","start":1,"defs":{}}` + "\n"))
	f.Add([]byte(`{"t":"source"}{}` + "\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		in, err := readInspection("i", bytes.NewReader(data))
		lines := bytes.Count(data, []byte("\n"))
		var syntax *timing.SyntaxError
		switch {
		case (in == nil) == (err == nil):
			t.Fatalf("inspection %v, error %v", in, err)
		case err == nil && (len(in.Sources) > lines || len(data) > 0 && data[len(data)-1] != '\n'):
			t.Fatalf("%d files of %d lines", len(in.Sources), lines)
		case err != nil && (!errors.As(err, &syntax) || syntax.Line < 1 || syntax.Line > lines+1):
			t.Fatalf("error %v, want a line from 1 to %d", err, lines+1)
		}
	})
}
