package shard

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"
	"unicode/utf16"

	"pgregory.net/rapid"

	"github.com/wcshard/wcshard/timing"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// samplePlan is a small plan with something of everything, and nasty IDs.
func samplePlan(t testing.TB) *Plan {
	s := Suite{
		Base:  1200 * time.Millisecond,
		Floor: 100 << 20, Controller: 60 << 20,
		Setups: []Setup{{ID: "tests/test_a.py", Cost: 30 * time.Millisecond}},
		Tests: []Test{
			{ID: "tests/test_a.py::test_x[a::b]", Setups: []int{0}, Estimate: timing.Estimate{Wall: 10 * time.Millisecond}},
			{ID: "tests/test_a.py::TestC::test_y[ ]\"\\\n\t<&>]", Setups: []int{0}, Estimate: timing.Estimate{Wall: 20 * time.Millisecond, Rung: timing.Sibling}},
			{ID: "tests/test_b.py::test_é[😀\u2028\u0085\x1b[31m]", Estimate: timing.Estimate{Wall: 70 * time.Millisecond, Peak: 1 << 30, Need: timing.Need{Low: 50 << 20, High: 64 << 20}}},
			{ID: "tests/test_b.py::test_%0A::error::", Memory: true, Estimate: timing.Estimate{Wall: 2 * time.Second, Peak: 3 << 30, Need: timing.Need{Low: 2 << 30, High: 2 << 30, Kept: 1 << 30}}},
			{ID: "docs/guide.rst::guide.rst", Estimate: timing.Estimate{Wall: 3 * time.Millisecond, Rung: timing.Guess}},
			{ID: "README.txt", Estimate: timing.Estimate{Wall: 3 * time.Millisecond, Rung: timing.Guess}},
		},
	}
	p := mustPack(t, s, Fleet{Shards: 2, CPUs: 2, Memory: 16 << 30, Runner: "ubuntu-latest", MemoryRunner: "large <8>"})
	p.Setups = []Setup{{ID: "import numpy", Cost: 300 * time.Millisecond, Import: true}, {ID: "session tests::db[='é\u2028<x>']", Cost: 1500 * time.Millisecond}}
	p.Shards[2].Pieces[0].Setups = []SetupRun{{1, []int{0}}, {1, []int{0, 1}}}
	seed := int64(-5)
	p.Collector = Collector{Args: []string{"-k", "a & b", "tests"}, Pytest: "9.2.0", Python: "3.13.0", Root: ".", Folder: "pkg", Seed: &seed, Order: "definition", Conftests: []string{"tests", "tests/slow"}, Places: []string{"tests/slow", "lib"}, LastPlaces: []string{"fallback"}, Parameters: []Parameters{{"tests/test_a.py::test_x", "0123", "4567"}}}
	return p
}

func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	if *update {
		if err := os.WriteFile(name, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("got\n%s\nwant %s:\n%s", got, name, want)
	}
}

// The golden file holds the format still: plans outlive the wcshard that made
// them. It is JSON as others read it, too.
func TestPlanGolden(t *testing.T) {
	p := samplePlan(t)
	text := planBytes(t, p)
	golden(t, "testdata/plan.json", text)
	golden(t, "testdata/matrix.json", append(p.Matrix(), '\n'))
	var v struct {
		Digest string
		Shards []struct {
			Name   string
			Pieces []struct {
				File  string
				Tests []string
			}
		}
	}
	if err := json.Unmarshal(text, &v); err != nil {
		t.Fatalf("the plan is not JSON: %v", err)
	}
	if v.Digest != p.Digest || len(v.Shards) != len(p.Shards) {
		t.Errorf("digest %s and %d shards, want %s and %d", v.Digest, len(v.Shards), p.Digest, len(p.Shards))
	}
	for i := range v.Shards {
		for k, piece := range v.Shards[i].Pieces {
			if want := p.Shards[i].Pieces[k]; piece.File != want.File || !reflect.DeepEqual(piece.Tests, want.Tests) {
				t.Errorf("JSON has %v, want %v", piece, want)
			}
		}
	}
	back, err := ReadPlan(bytes.NewReader(text), "plan.json")
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(back, p) {
		t.Errorf("read %+v, want %+v", back, p)
	}
	p.Collector.Args = nil // a list for others as well
	if text := planBytes(t, p); !bytes.Contains(text, []byte(`"args":[]`)) {
		t.Errorf("a plan of no arguments has no empty list of them:\n%s", text)
	}
}

func TestPlanStrings(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := rapid.String().Draw(t, "s")
		text := string(appendString(nil, s))
		var std string
		if err := json.Unmarshal([]byte(text), &std); err != nil || std != s {
			t.Errorf("%q is written %s, which JSON reads as %q, %v", s, text, std, err)
		}
		in := &pieceScanner{text: text}
		if got := in.str(); in.bad || in.text != "" || got != s {
			t.Errorf("%s is read as %q, want %q", text, got, s)
		}
		for _, c := range text {
			if c < 0x20 || 0x7f <= c && c < 0xa0 {
				t.Errorf("%q holds a control character", text)
			}
		}
	})
}

// sealed puts the right digest under a plan's text without one.
func sealed(body string) string {
	sum := sha256.Sum256([]byte(body))
	return body + `"digest":"sha256:` + hex.EncodeToString(sum[:]) + "\"}\n"
}

// What is known of earlier predictions goes through the file; where nothing is,
// the plan is what it was before there was such a key.
func TestPlanError(t *testing.T) {
	p := samplePlan(t)
	if text := planBytes(t, p); bytes.Contains(text, []byte(`"error"`)) {
		t.Errorf("a plan that knows of no errors has a key for them:\n%s", text)
	}
	for want, e := range map[string]Error{
		`,"error":{"jobs":6,"median_permille":41,"ninth_permille":88},` + "\n": {Jobs: 6, Median: 41, Ninth: 88},
		`,"error":{"jobs":5,"median_permille":0,"ninth_permille":0},` + "\n":   {Jobs: 5}, // all were right
	} {
		p.Error = e
		text := planBytes(t, p)
		if !bytes.Contains(text, []byte(want)) {
			t.Errorf("the plan has no %s:\n%s", want, text)
		}
		back, err := ReadPlan(bytes.NewReader(text), "plan.json")
		if err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(back, p) {
			t.Errorf("read %+v, want %+v", back, p)
		}
	}
	p.Error = Error{Jobs: 6, Median: 41, Ninth: 40}
	if err := p.Write(&bytes.Buffer{}); err == nil {
		t.Error("nine of ten were nearer than half of them, and it is written")
	}
}

func TestReadPlanRefuses(t *testing.T) {
	good := string(planBytes(t, samplePlan(t)))
	body := good[:strings.LastIndex(good, `"digest"`)]
	// edit is a plan that somebody changed and sealed again.
	edit := func(old, new string) string {
		if !strings.Contains(body, old) {
			t.Fatalf("the sample plan has no %s", old)
		}
		return sealed(strings.Replace(body, old, new, 1))
	}
	lines := strings.SplitAfter(body, "\n")
	for _, c := range []struct {
		name, text, want string
	}{
		{"empty", "", "p: the file is empty, want a plan"},
		{"garbage", "\x00\xff\n", `p:1: got "\x00\xff", want {`},
		{"another JSON file", "{\n\"a\": 1,\n", `p:2: got "\"a\": 1,", want "wcshard": of a plan`},
		{"a results file", "{\n\"wcshard\":\"results\",\"version\":1,\n", `p:2: it is "results", want "plan"`},
		{"a newer version", edit(`"version":1`, `"version":2`), "p:2: written by a newer wcshard (version 2, this one reads 1)"},
		{"version 0", edit(`"version":1`, `"version":0`), "p:2: version is 0, want 1"},
		{"an unknown key", edit(`"root":"."`, `"root":".","x":1`), `p:3: reading the header: json: unknown field "x"`},
		{"a key spelt otherwise", edit(`"root":"."`, `"Root":"."`), "p:7: the header is not as wcshard writes it"},
		{"a fleet spelt otherwise", edit(`"cpus":2`, `"cpus": 2`), "p:7: the header is not as wcshard writes it"},
		{"a torn file", strings.Join(lines[:9], "") + `{"file":"tests/test_b.py","te`, "p:10: the file ends early"},
		{"no digest", body, "p:20: the file ends early"},
		{"changed", strings.Replace(good, "test_x", "test_z", 1), "p:20: the plan has been changed since it was written: its digest is not sha256:"},
		{"more after it", good + "{}", "p:21: there is more after the plan"},
		{"CRLF", strings.ReplaceAll(good, "\n", "\r\n"), `p:1: got "{\r", want {`},
		{"two shards of one name", edit(`"name":"pool-2"`, `"name":"POOL-1"`), `two shards are named "POOL-1"`},
		{"a name that leaves the folder", edit(`"name":"pool-2"`, `"name":".."`), `shard name "..": want 1 to 60`},
		{"a kind", edit(`"kind":"pool"`, `"kind":"x"`), `is of kind "x", want "pool" or "memory"`},
		{"hostile workers", edit(`"workers":1,"wall_us"`, `"workers":1000000000,"wall_us"`), "has 1000000000 workers, want 1 to 4096"},
		{"a number out of range", edit(`"timeout_minutes":10`, `"timeout_minutes":99999999999999999999`), "cannot unmarshal number"},
		{"a hostile fleet", edit(`"cpus":2`, `"cpus":2000000000`), "p:5: a fleet of"},
		{"a basis that overflows", edit(`"measured":1,"relatives":1,"guessed":2`, `"measured":9223372036854775807,"relatives":9223372036854775807,"guessed":6`), "tests, and estimates"},
		{"no workers", edit(`"workers":1,"wall_us"`, `"workers":0,"wall_us"`), "has 0 workers, want 1 to 4096"},
		{"a bound below nothing", edit(`"bound_us":`, `"bound_us":-`), "p:5: makespan or bound is not between 0 and"},
		{"a shard that takes for ever", edit(`"wall_us":`, `"wall_us":400000000`), `p:8: shard "mem-test_b" takes 400000000`},
		{"a shard spelt otherwise", edit(`"workers":1,"wall_us"`, `"workers": 1,"wall_us"`), "p:8: a shard is not as wcshard writes it"},
		{"a long name", edit(`"name":"pool-2"`, `"name":"`+strings.Repeat("x", maxName+1)+`"`), "want 1 to 60"},
		{"a basis of fewer tests", edit(`"relatives":1,"guessed":2`, `"relatives":1,"guessed":1`), "tests, and estimates"},
		{"no timeout", edit(`"timeout_minutes":10`, `"timeout_minutes":0`), "has a timeout of 0 minutes, want 1 to"},
		{"a need of a test that is not there", edit(`"needs":[[0,2147483648`, `"needs":[[1,2147483648`), "the need of test 1 of \"tests/test_b.py\" is out of order or one too many"},
		{"a need that is none", edit(`"needs":[[0,2147483648,1073741824,2147483648]]`, `"needs":[[0,5,5]]`), "needs 5 and keeps 5 bytes: want 33554432 to"},
		{"more surely than at most", edit(`"needs":[[0,2147483648,1073741824,2147483648]]`, `"needs":[[0,2147483648,1073741824,2147483649]]`), "needs 2147483649 to 2147483648 bytes"},
		{"no needs", edit(`"needs":[[0,2147483648,1073741824,2147483648]]`, `"needs":[]`), "as wcshard writes them"},
		{"needs spelt otherwise", edit(`"needs":[[0,2147483648`, `"needs":[[00,2147483648`), "as wcshard writes them"},
		{"a lower bound that is none", edit(`1073741824,2147483648]]`, `1073741824,0]]`), "as wcshard writes them"},
		{"a need below nothing", edit(`"needs":[[0,2147483648`, `"needs":[[0,-1`), "as wcshard writes them"},
		{"a need that overflows", edit(`"needs":[[0,2147483648`, `"needs":[[0,9223372036854775808`), "as wcshard writes them"},
		{"needs twice", edit(`"needs":[[0,2147483648,1073741824,2147483648]]`, `"needs":[[0,2147483648,1073741824,2147483648],[0,2147483648,0]]`), "out of order"},
		{"a hostile budget", edit(`"budget_bytes":`, `"budget_bytes":-`), "has a floor of 104857600 and a budget of -"},
		{"a reason", edit(`"budget_bytes":16106127360,"timeout`, `"budget_bytes":16106127360,"why":"so","timeout`), `is one for it was "so"`},
		{"a reason of the pool", edit(`"budget_bytes":16106127360,"timeout_minutes":49`, `"budget_bytes":16106127360,"why":"measured","timeout_minutes":42`), `shard pool-2 of kind pool is one for it was "measured"`},
		{"a hostile share", edit(`"memory_runner":"large <8>"`, `"memory_runner":"large <8>","memory_share":2`), "p:5: a fleet of"},
		{"a wrong basis", edit(`"measured":1`, `"measured":7`), "tests, and estimates"},
		{"an empty piece", edit(`"tests":["::test_%0A::error::"]`, `"tests":[]`), "want a file and its tests as wcshard writes them"},
		{"a test without its colons", edit(`["::test_%0A::error::"]`, `["test_%0A::error::"]`), `does not start with "::"`},
		{"a file with colons", edit(`"file":"docs/guide.rst"`, `"file":"docs::guide.rst"`), `file "docs::guide.rst" has "::"`},
		{"a needless escape", edit(`"file":"docs/guide.rst"`, `"file":"docs\/guide.rst"`), "as wcshard writes them"},
		{"not UTF-8", edit(`"file":"docs/guide.rst"`, "\"file\":\"docs\xff/guide.rst\""), "as wcshard writes them"},
		{"a test in two shards", edit(`::test_é[😀`+"\u2028"+`\u0085\u001b[31m]`, `::test_%0A::error::`), `p:12: "tests/test_b.py::test_%0A::error::" is in shards mem-test_b and pool-1`},
		{"a test of another file", edit(`"file":"docs/guide.rst"`, `"file":"docs/guide.rst:"`), `of "docs/guide.rst:" does not start with "::", is of another file`},
		{"an error without jobs", edit(`"bound_us":`, `"error":{"jobs":0,"median_permille":5,"ninth_permille":6},"bound_us":`), "p:5: predictions that were off by"},
		{"a hostile error", edit(`"bound_us":`, `"error":{"jobs":3,"median_permille":9,"ninth_permille":8},"bound_us":`), "p:5: predictions that were off by"},
		{"an error in the wrong place", edit(`"bound_us":`, `"error":{"jobs":3,"median_permille":8,"ninth_permille":9},"bound_us":`), "p:7: the header is not as wcshard writes it"},
		{"a hostile set-up", edit(`"cost_us":300000`, `"cost_us":-1`), `p:6: set-up "import numpy" takes -1 µs`},
		{"a set-up that takes for ever", edit(`"cost_us":300000`, `"cost_us":9007199254740993`), `p:6: set-up "import numpy" takes 9007199254740993 µs`},
		{"a set-up twice", edit(`"setups":[[1,0]`, `"setups":[[1,0,0]`), "need set-up 0: want 0 to 1, ascending"},
		{"a set-up too many", edit(`"setups":[[1,0]`, `"setups":[[1,7]`), "need set-up 7: want 0 to 1"},
		{"a set-up spelt otherwise", edit(`"setups":[[1,0]`, `"setups":[[1,00]`), "as wcshard writes them"},
		{"set-ups of nothing", edit(`"setups":[[1,0],[1,0,1]]`, `"setups":[]`), "as wcshard writes them"},
		{"more after a piece", edit("]]}\n", "]]} \n"), "as wcshard writes them"},
		{"no shards", sealed(strings.Join(lines[:7], "") + "],\n"), `p:8: got "],", want a shard`},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := ReadPlan(strings.NewReader(c.text), "p")
			var syntax *timing.SyntaxError
			if !errors.As(err, &syntax) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("ReadPlan() = %v, want … %s …", err, c.want)
			}
		})
	}
}

func TestReadPlanLimits(t *testing.T) {
	r := &endless{head: []byte("{\n"), body: bytes.Repeat([]byte("x"), 1<<16)}
	_, err := readPlan(r, "p", 1<<20)
	if want := "p:2: the plan is too large, want at most 1073741824 bytes"; err == nil || err.Error() != want {
		t.Errorf("reading an endless line: %v, want %s", err, want)
	}
	var b strings.Builder
	good := string(planBytes(t, samplePlan(t)))
	b.WriteString(good[:strings.Index(good, shardsLine)+len(shardsLine)+1])
	for i := range MaxRows + 1 {
		fmt.Fprintf(&b, `{"name":"s%d","kind":"pool","runner":"","workers":1,"wall_us":1,"peak_bytes":0,"timeout_minutes":10,"basis":{"measured":1,"relatives":0,"guessed":0},"pieces":[`+"\n", i)
		fmt.Fprintf(&b, `{"file":"f%d.py","tests":["::t"]}`+"\n]},\n", i)
	}
	_, err = ReadPlan(strings.NewReader(b.String()), "p")
	if err == nil || !strings.Contains(err.Error(), "more than 256 shards") {
		t.Errorf("ReadPlan of 257 shards = %v", err)
	}
	_, err = ReadPlan(strings.NewReader("{\n"+strings.Repeat("x", 900)+"\n"), "p")
	if err == nil || len(err.Error()) > 150 {
		t.Errorf("of a long line the message is %v, want no more than its beginning", err)
	}
}

type endless struct{ head, body []byte }

func (e *endless) Read(p []byte) (int, error) {
	if len(e.head) > 0 {
		n := copy(p, e.head)
		e.head = e.head[n:]
		return n, nil
	}
	return copy(p, e.body), nil
}

// last is the cut piece of two tests of the sample plan.
func last(p *Plan) *Piece { return &p.Shards[2].Pieces[0] }

// A plan says what its tests share, where that takes long: fixtures and libraries, not
// the imports of files, which follow from these.
func TestPlanSetups(t *testing.T) {
	ms := time.Millisecond
	setups := []Setup{
		{ID: "session ::db", Cost: 20 * ms}, {ID: "a.py", Cost: 50 * ms, Import: true}, {ID: "tests/", Cost: 50 * ms, Import: true},
		{ID: "module a.py::m", Cost: 10 * ms}, {ID: "import numpy", Cost: 10*ms + 1, Import: true}, {ID: "class a.py::C::c", Cost: 9 * ms},
	}
	test := func(id string, order int, setups ...int) Test {
		return Test{ID: timing.NodeID(id), Order: order, Setups: setups, Estimate: timing.Estimate{Wall: ms}}
	}
	suite := Suite{Setups: setups, Tests: []Test{
		test("a.py::1", 0, 0, 1), test("a.py::2", 1, 0, 1), test("a.py::3", 2, 0, 1, 3, 4, 5), test("a.py::4", 3, 1, 2), test("b.py::1", 4),
	}}
	plan := mustPack(t, suite, Fleet{Shards: 1, Workers: 1, CPUs: 1})
	if want := []Setup{{ID: "import numpy", Cost: 10 * ms, Import: true}, {ID: "module a.py::m", Cost: 10 * ms}, {ID: "session ::db", Cost: 20 * ms}}; !reflect.DeepEqual(plan.Setups, want) {
		t.Errorf("the plan mentions %+v, want %+v", plan.Setups, want)
	}
	got := map[string][]SetupRun{}
	for _, piece := range plan.Shards[0].Pieces {
		got[piece.File] = piece.Setups
	}
	if want := map[string][]SetupRun{"a.py": {{2, []int{2}}, {1, []int{0, 1, 2}}, {1, nil}}, "b.py": nil}; !reflect.DeepEqual(got, want) {
		t.Errorf("pieces need %v, want %v", got, want)
	}
}

func TestWriteRefuses(t *testing.T) {
	for _, c := range []struct {
		name string
		edit func(p *Plan)
		want string
	}{
		{"no shards", func(p *Plan) { p.Shards = nil }, "it has no shards"},
		{"nanoseconds", func(p *Plan) { p.Shards[0].Wall++ }, "want whole microseconds"},
		{"bytes in an argument", func(p *Plan) { p.Collector.Args = []string{"\xff"} }, `"\xff" is not UTF-8`},
		{"bytes in parameters that a neighbour completes", func(p *Plan) { p.Collector.Parameters = []Parameters{{ID: "f\xc3", Order: "\xa9"}} }, `"f\xc3" is not UTF-8`},
		{"bytes in a folder", func(p *Plan) { p.Collector.Conftests = []string{"\xff"} }, `"\xff" is not UTF-8`},
		{"bytes in values", func(p *Plan) { p.Collector.Parameters[0].Values = "\xff" }, `"\xff" is not UTF-8`},
		{"an empty shard", func(p *Plan) { p.Shards[1].Pieces = nil }, "has no tests"},
		{"an empty piece", func(p *Plan) { p.Shards[0].Pieces = append(p.Shards[0].Pieces, Piece{File: "z.py"}) }, `has no tests of "z.py"`},
		{"a file twice", func(p *Plan) { p.Shards[1].Pieces = append(p.Shards[1].Pieces, p.Shards[1].Pieces[0]) }, "has two pieces of"},
		{"units of more tests than there are", func(p *Plan) { p.Shards[1].Pieces[0].Units = []UnitRun{{1, 2}} }, "as many tests as there are"},
		{"units of fewer", func(p *Plan) { last(p).Units = []UnitRun{{1, 1}} }, "leave out 1 tests"},
		{"two runs of one unit", func(p *Plan) { last(p).Units = []UnitRun{{1, 1}, {1, 1}} }, "another one than before"},
		{"units that are none", func(p *Plan) { last(p).Units = []UnitRun{{0, 2}} }, "or are none"},
		{"set-ups of more tests than there are", func(p *Plan) { last(p).Setups = []SetupRun{{3, []int{0}}} }, "as many tests as there are"},
		{"set-ups of fewer", func(p *Plan) { last(p).Setups = []SetupRun{{1, []int{0}}} }, "leave out 1 tests"},
		{"set-ups that are none", func(p *Plan) { last(p).Setups = []SetupRun{{2, nil}} }, "or are none"},
		{"two runs of the same set-ups", func(p *Plan) { last(p).Setups = []SetupRun{{1, []int{0}}, {1, []int{0}}} }, "other ones than before"},
		{"a set-up that there is not", func(p *Plan) { last(p).Setups = []SetupRun{{2, []int{2}}} }, "need set-up 2: want 0 to 1, ascending"},
		{"set-ups out of order", func(p *Plan) { last(p).Setups = []SetupRun{{2, []int{1, 0}}} }, "need set-up 0: want 0 to 1, ascending"},
		{"a set-up of nanoseconds", func(p *Plan) { p.Setups[0].Cost++ }, "want UTF-8, and whole microseconds"},
	} {
		p := samplePlan(t)
		c.edit(p)
		var b bytes.Buffer
		if err := p.Write(&b); err == nil || !strings.Contains(err.Error(), c.want) || b.Len() > 0 {
			t.Errorf("%s: Write() = %v after %d bytes, want %s and nothing written", c.name, err, b.Len(), c.want)
		}
	}
}

// Whoever writes a plan learns that it is not there.
func TestWriteToFullDisk(t *testing.T) {
	p := samplePlan(t)
	if err := p.Write(fullDisk{}); !errors.Is(err, io.ErrShortWrite) {
		t.Errorf("Write() = %v, want %v", err, io.ErrShortWrite)
	}
	if err := p.Write(io.Discard); err != nil {
		t.Errorf("Write() elsewhere = %v", err)
	}
}

type fullDisk struct{}

func (fullDisk) Write([]byte) (int, error) { return 0, io.ErrShortWrite }

func TestMatrix(t *testing.T) {
	p := &Plan{Shards: []Shard{{Name: "pool-1", Kind: Pool, Runner: "x", Workers: 2, Timeout: 10, Wall: 1250 * time.Millisecond}}}
	want := `{"include":[{"name":"pool-1","kind":"pool","runner":"x","workers":2,"timeout":10,"tests":0,"seconds":1.3,"a":"1","b":"2"}]}`
	if got := string(p.Matrix(Key{"a", "1"}, Key{"b", "2"})); got != want {
		t.Errorf("Matrix() = %s, want %s", got, want)
	}
}

// The matrix stays far below GitHub's limit for an output, which counts UTF-16.
func TestMatrixSize(t *testing.T) {
	p := &Plan{}
	for i := range MaxRows {
		p.Shards = append(p.Shards, Shard{
			Name: strings.Repeat("x", maxName), Kind: Memory, Runner: strings.Repeat("é", 256), Workers: maxWorkers,
			Wall: maxTotal, Timeout: 1 << 30, Pieces: []Piece{{File: fmt.Sprint(i), Tests: make([]string, 1000)}},
		})
	}
	line := p.Matrix()
	if n := 2 * len(utf16.Encode([]rune(string(line)))); n > 1<<20 || bytes.ContainsRune(line, '\n') {
		t.Errorf("the matrix is %d bytes of UTF-16 or more than a line", n)
	}
	if !json.Valid(line) {
		t.Errorf("the matrix is not JSON: %s", line)
	}
}

func FuzzReadPlan(f *testing.F) {
	good := planBytes(f, samplePlan(f))
	f.Add(good)
	f.Add(good[:len(good)/2])
	f.Add([]byte("{\n\"wcshard\":\"plan\",\"version\":1,\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		p, err := ReadPlan(bytes.NewReader(text), "p")
		if err != nil {
			// Most mutations break the digest; with it mended, the parser
			// behind it is reached.
			var syntax *timing.SyntaxError
			if !errors.As(err, &syntax) || syntax.Line > bytes.Count(text, []byte("\n"))+1 {
				t.Fatalf("error %v at line %d of %d", err, syntax.Line, bytes.Count(text, []byte("\n")))
			}
			i := bytes.LastIndex(text, []byte(digestKey))
			if i < 0 {
				return
			}
			text = []byte(sealed(string(text[:i])))
			if p, err = ReadPlan(bytes.NewReader(text), "p"); err != nil {
				return
			}
		}
		var b bytes.Buffer
		if err := p.Write(&b); err != nil || !bytes.Equal(b.Bytes(), text) {
			t.Errorf("written again: %v\n%s\nwant\n%s", err, b.Bytes(), text)
		}
	})
}
