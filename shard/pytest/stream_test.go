package pytest

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/wcshard/wcshard/timing"
)

const goodHeader = `{"wcshard":"collection","version":1,"pytest":"9.2.0","python":"3.13.0","xdist":"","root":"..","order":"definition","seed":7}` + "\n"

func TestReadCollection(t *testing.T) {
	c, err := readCollection("c", strings.NewReader(goodHeader+`{"t":"test","id":"a.py::t[ünï]","markers":["x","y"],"group":"g","fixtures":["module a.py::m"]}
{"t":"test","id":"a.py::u","markers":["x","y"],"group":"","fixtures":[]}
{"t":"conftests","folders":["a","a/b"]}
{"t":"places","folders":["c"],"last":["d","e"]}
{"t":"imports","libraries":["scipy.stats","z"],"files":["a.py","b.py"]}
{"t":"imports","libraries":["z"],"files":["c.py"]}
{"t":"note","text":"said"}
{"t":"end"}
`))
	if err != nil {
		t.Fatal(err)
	}
	if len(c.Tests) != 2 || *c.Collector.Seed != 7 || c.Collector.Root != ".." || len(c.Notes) != 1 ||
		!slices.Equal(c.Collector.Conftests, []string{"a", "a/b"}) || !slices.Equal(c.Collector.Places, []string{"c"}) || !slices.Equal(c.Collector.LastPlaces, []string{"d", "e"}) {
		t.Errorf("read %+v", c)
	}
	libraries := map[string][]string{"a.py": {"scipy.stats", "z"}, "b.py": {"scipy.stats", "z"}, "c.py": {"z"}}
	if !reflect.DeepEqual(c.Libraries, libraries) {
		t.Errorf("read libraries %q, want %q", c.Libraries, libraries)
	}
	first, second := c.Tests[0], c.Tests[1]
	if first.ID != "a.py::t[ünï]" || first.Group != "g" || first.Fixtures[0] != "module a.py::m" {
		t.Errorf("read %+v", first)
	}
	if &first.Markers[0] != &second.Markers[0] {
		t.Error("equal markers are not shared")
	}
}

func TestReadCollectionErrors(t *testing.T) {
	end := `{"t":"end"}` + "\n"
	for _, test := range []struct {
		name, text string
		line       int // 0: not a SyntaxError
		want       string
	}{
		{"empty", "", 0, "has no end"},
		{"no end", goodHeader, 0, "after line 1"},
		{"no header", end, 1, "unknown field"},
		{"other format", `{"wcshard":"results","version":1}` + "\n", 1, `"results" version 1`},
		{"newer", `{"wcshard":"collection","version":2}` + "\n", 1, "version 2"},
		{"garbage", goodHeader + "garbage\n", 2, "invalid character"},
		{"torn", goodHeader + `{"t":"te`, 2, "has no end"},
		{"unknown type", goodHeader + `{"t":"tset"}` + "\n", 2, `"tset"`},
		{"unknown key", goodHeader + `{"t":"note","txet":""}` + "\n", 2, "unknown field"},
		{"two values", goodHeader + `{"t":"note"} {}` + "\n", 2, "more than one"},
		{"no ID", goodHeader + `{"t":"test","id":""}` + "\n", 2, "without an ID"},
		{"markers", goodHeader + `{"t":"test","id":"a","markers":"x"}` + "\n", 2, "cannot unmarshal"},
		{"fixtures", goodHeader + `{"t":"test","id":"a","fixtures":[1]}` + "\n", 2, "cannot unmarshal"},
		{"libraries", goodHeader + `{"t":"imports","libraries":{"a":1},"files":["a.py"]}` + "\n", 2, "cannot unmarshal"},
		{"not UTF-8", goodHeader + "{\"t\":\"note\",\"text\":\"\xff\"}\n", 2, "UTF-8"},
		{"after the end", goodHeader + end + end, 3, "after the end"},
		{"long", goodHeader + strings.Repeat(" ", maxLine+1) + "\n", 2, "longer than"},
	} {
		_, err := readCollection("c.jsonl", strings.NewReader(test.text))
		var syntax *timing.SyntaxError
		line := 0
		if errors.As(err, &syntax) {
			line = syntax.Line
		}
		if err == nil || line != test.line || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v at line %d, want %q at line %d", test.name, err, line, test.want, test.line)
		}
	}
}

// The quick way reads nothing but what encoding/json reads, and the same.
func FuzzQuickTest(f *testing.F) {
	f.Add([]byte(`{"t":"test","id":"a.py::t","markers":["x"],"group":"g","fixtures":[]}`))
	f.Add([]byte(`{"t":"test","id":"","markers":[],"group":"","fixtures":["x"]}`))
	f.Add([]byte(`{"t":"test","id":"a","markers":[],"group":"","fixtures":[]},"fixtures":[]}`))
	f.Fuzz(func(t *testing.T, line []byte) {
		if !utf8.Valid(line) || bytes.ContainsRune(line, '\n') {
			return // refused before
		}
		fresh := func() *parser {
			return &parser{collection: &Collection{}, lists: map[string][]string{"[]": nil, `["x"]`: {"x"}}}
		}
		quick, ok := fresh().quickTest(line)
		if !ok {
			return
		}
		slow := fresh()
		var e event
		if err := unmarshal(line, &e); err != nil {
			t.Fatalf("quick %+v, slow %v", quick, err)
		}
		if err := slow.readTest(e); err != nil || !reflect.DeepEqual(slow.collection.Tests[0], quick) {
			t.Fatalf("quick %+v, slow %+v, %v", quick, slow.collection.Tests, err)
		}
	})
}

// Whatever comes is a collection or an error with the line of the fault.
func FuzzReadCollection(f *testing.F) {
	data, err := os.ReadFile(filepath.Join("testdata", "collection.jsonl"))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(data)
	f.Add([]byte(goodHeader))
	f.Add([]byte(goodHeader + `{"t":"test","id":"a","markers":null,"fixtures":[]}` + "\n{"))
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := readCollection("c", bytes.NewReader(data))
		if (c == nil) == (err == nil) {
			t.Fatalf("collection %v, error %v", c, err)
		}
		var syntax *timing.SyntaxError
		if errors.As(err, &syntax) && (syntax.Line < 1 || syntax.Line > bytes.Count(data, []byte("\n"))+1) {
			t.Fatalf("error at line %d of %d", syntax.Line, bytes.Count(data, []byte("\n"))+1)
		}
		if c == nil {
			return
		}
		for _, test := range c.Tests {
			if test.ID == "" {
				t.Fatalf("test %+v", test)
			}
		}
	})
}

func BenchmarkReadCollection(b *testing.B) {
	for _, n := range []int{10_000, 1_000_000} {
		b.Run(fmt.Sprintf("tests=%d", n), func(b *testing.B) {
			var text bytes.Buffer
			text.WriteString(goodHeader)
			for i := range n {
				file := i / 50
				fmt.Fprintf(&text, `{"t":"test","id":"tests/unit/test_file_%d.py::TestClass::test_method[param-%d]","markers":["parametrize","slow"],"group":"","fixtures":["module tests/unit/test_file_%d.py::model","session ::db"]}`+"\n", file, i, file)
			}
			text.WriteString(`{"t":"end"}` + "\n")
			b.SetBytes(int64(text.Len()))
			for b.Loop() {
				c, err := readCollection("c", bytes.NewReader(text.Bytes()))
				if err != nil || len(c.Tests) != n {
					b.Fatal(err)
				}
			}
		})
	}
}
