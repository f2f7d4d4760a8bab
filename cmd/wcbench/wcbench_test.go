package main

import (
	"bytes"
	"compress/gzip"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/wcshard/wcshard/timing"
)

func sample() recording {
	return recording{"x.json", []measured{
		{"a.py::1", 4 * time.Second}, {"a.py::2", 2 * time.Second}, {"b.py::1", 3 * time.Second}, {"c.py::1", time.Second},
	}}
}

func TestJudge(t *testing.T) {
	for _, c := range []struct {
		job  []int
		n    int
		want planRow
	}{
		{[]int{0, 0, 1, 1}, 2, planRow{"x.json", 2, "p", 1.2, 0, 0, planCost{}}},
		{[]int{0, 1, 1, 0}, 2, planRow{"x.json", 2, "p", 1, 1, 0, planCost{}}},
		{[]int{0, 0, 0, 0}, 4, planRow{"x.json", 4, "p", 2.5, 0, 3, planCost{}}},
	} {
		if got := judge(sample(), c.n, "p", c.job); got != c.want {
			t.Errorf("judge(%v) = %+v, want %+v", c.job, got, c.want)
		}
	}
}

func TestSplitByPack(t *testing.T) {
	jobs, _, err := splitByPack(context.Background(), sample(), []int{1, 2})
	if err != nil {
		t.Fatal(err)
	}
	if r := judge(sample(), 2, "wcshard", jobs[1]); r.Ratio != 1 || r.Empty != 0 || !slices.Equal(jobs[0], make([]int, 4)) {
		t.Errorf("jobs %v are worth %+v", jobs, r)
	}
}

func TestReadRecordings(t *testing.T) {
	dir := t.TempDir()
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	if _, err := z.Write([]byte(`{"b.py::1": 0.5, "a.py::1": 1}`)); err != nil {
		t.Fatal(err)
	}
	z.Close()
	if err := os.MkdirAll(filepath.Join(dir, "w"), 0o755); err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(dir, "w", "1.json.gz")
	if err := os.WriteFile(name, packed.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
	got, err := readRecordings(dir)
	want := []recording{{filepath.Join("w", "1.json.gz"), []measured{{"a.py::1", time.Second}, {"b.py::1", time.Second / 2}}}}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("readRecordings() = %v, %v, want %v", got, err, want)
	}
	if _, err := readRecordings(t.TempDir()); err == nil {
		t.Error("an empty folder is no error")
	}
}

func TestReadCIMatrix(t *testing.T) {
	job, err := readCIMatrix([]byte(`{"include":[{"id":0,"packages":"p1 p0"},{"id":1,"packages":"p2"}]}`), 3)
	if err != nil || !slices.Equal(job, []int{0, 0, 1}) {
		t.Errorf("readCIMatrix() = %v, %v", job, err)
	}
	for _, bad := range []string{`{"include":[{"id":0,"packages":"p1"}]}`, `{"include":[{"id":0,"packages":"p0 p1 p9"}]}`, `[`} {
		if _, err := readCIMatrix([]byte(bad), 3); err == nil {
			t.Errorf("readCIMatrix(%s) is no error", bad)
		}
	}
}

func TestPrintRows(t *testing.T) {
	var b strings.Builder
	rows := []planRow{{"x.json", 2, "wcshard", 1, 0, 0, planCost{}}, {"x.json", 2, "peer", 1.25, 3, 1, planCost{}}}
	if err := printRows(&b, rows); err != nil {
		t.Fatal(err)
	}
	want := `makespan / max(total/N, longest test); in brackets: files cut
    data  N     wcshard                 peer
  x.json  2  1.0000 (0)  1.2500 (3, 1 empty)
`
	if b.String() != want {
		t.Errorf("printed\n%s\nwant\n%s", b.String(), want)
	}
}

// The measuring is tried on a small suite with the real command.
func TestScale(t *testing.T) {
	if _, err := exec.LookPath("go"); err != nil {
		t.Skip("no go command to build wcshard with")
	}
	var b strings.Builder
	o := scaleOptions{tests: 200, files: 20, shards: 4, rounds: 1}
	if err := doScale(context.Background(), &b, o); err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(b.String(), "200 tests in 20 files over 4 shards: ") {
		t.Errorf("printed %q", b.String())
	}
	if runtime.GOOS == "linux" && strings.Contains(b.String(), "peak 0 MiB") {
		t.Errorf("no peak in %q", b.String())
	}
}

// Fixtures come by a collection, and the sizes of a suite grow tenfold.
func TestScaleFixtures(t *testing.T) {
	if _, err := exec.LookPath("go"); err != nil {
		t.Skip("no go command to build wcshard with")
	}
	var b strings.Builder
	o := scaleOptions{tests: 5000, files: 100, fixtures: 1000, shards: 4, rounds: 1, steps: 2}
	if err := doScale(context.Background(), &b, o); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"500 tests in 10 files over 4 shards: ", ", with 100 fixtures\n", "\n5000 tests in 100 files over 4 shards: ", ", with 1000 fixtures; growth "} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("%q is not in\n%s", want, b.String())
		}
	}
}

// The suite has as many fixtures as it says, of all scopes, and tests need those
// of their own class, file and folder.
func TestFixturesOf(t *testing.T) {
	const tests, files, fixtures = 20_000, 400, 5000
	_, results := synthetic(tests, files)
	scopes, all := map[timing.Scope]int{}, map[timing.SetupID]bool{}
	for k, x := range results.Tests {
		for _, f := range fixturesOf(k, tests, files, fixtures, x.ID) {
			place, _, _ := f.id.Parts()
			if !strings.HasPrefix(string(x.ID), place.File()) || f.mean <= 0 {
				t.Fatalf("%s needs %s, which takes %v", x.ID, f.id, f.mean)
			}
			if !all[f.id] {
				all[f.id] = true
				scopes[f.id.Scope()]++
			}
		}
	}
	if n := len(all); n < fixtures*9/10 || n > fixtures*11/10 || len(scopes) != 4 {
		t.Errorf("%d fixtures: %v, want about %d", n, scopes, fixtures)
	}
}

// The suite of scale has as many tests and files as it says, and its history
// knows them all.
func TestScaleFiles(t *testing.T) {
	dir := t.TempDir()
	s := scaleFiles{ids: filepath.Join(dir, "ids"), timings: filepath.Join(dir, "timings")}
	if err := s.write(103, 10, 0); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(s.ids)
	if err != nil {
		t.Fatal(err)
	}
	ids, files := strings.Fields(string(text)), map[string]bool{}
	for _, id := range ids {
		files[timing.NodeID(id).File()] = true
	}
	f, err := os.Open(s.timings)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	h, err := timing.ReadHistory(f, "timings")
	if err != nil {
		t.Fatal(err)
	}
	known := make([]timing.NodeID, len(ids))
	for i, id := range ids {
		known[i] = timing.NodeID(id)
	}
	measured := 0
	for _, e := range h.Estimator("ubuntu-latest").Tests(known) {
		if e.Rung == timing.Measured {
			measured++
		}
	}
	if len(ids) != 103 || len(files) != 10 || measured != 103 {
		t.Errorf("%d tests in %d files, %d measured", len(ids), len(files), measured)
	}
}
