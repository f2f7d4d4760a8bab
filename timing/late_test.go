package timing

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

// Which tests need a library that one of them imported while it ran is reckoned from
// how many tests began before one did.
func TestLateImports(t *testing.T) {
	// A job of so many tests, of which those with these numbers import a library.
	job := func(run int, tests int, late map[int]string, static ...string) *Results {
		r := &Results{Header: ResultsHeader{Run: fmt.Sprint(run), Runner: "linux", Started: time.UnixMilli(int64(run) * 1000).UTC()}}
		for n := 1; n <= tests; n++ {
			result := TestResult{Worker: "main", ID: NodeID(fmt.Sprintf("test_%d.py::x[%d]", (n-1)/10, n)), Outcome: Passed, Wall: 3 * time.Second, Call: time.Second}
			if library, is := late[n]; is {
				result.Fixtures = []FixtureResult{{ID: LibraryID(library), Setup: 2 * time.Second}}
			}
			r.Tests = append(r.Tests, result)
		}
		imports := map[string]time.Duration{}
		for _, library := range static {
			imports[libraryPrefix+library] = 2 * time.Second
		}
		r.Workers = []WorkerResult{{Worker: "main", Startup: time.Second, Imports: imports}}
		return r
	}
	// Every second test is another worker's.
	workers := func(r *Results) *Results {
		r.Workers = []WorkerResult{{Worker: "gw0", Startup: time.Second}, {Worker: "gw1", Startup: time.Second}}
		for i := range r.Tests {
			r.Tests[i].Worker = r.Workers[i%2].Worker
		}
		return r
	}
	before := func(r *Results) *Results {
		r.Header.Started = r.Header.Started.Add(-time.Millisecond)
		return r
	}
	elsewhere := func(r *Results) *Results {
		r.Header.Runner = "local"
		return r
	}
	first := job(1, 100, map[int]string{5: "many", 60: "few"})
	few, many := []string{"test_5.py"}, []string{"test_0.py"}
	for _, c := range []struct {
		name string
		jobs []*Results
		want []LateImport
	}{
		{"one job", []*Results{first}, []LateImport{{"few", few, 60}, {"many", many, 5}}},
		{"another file", []*Results{first, job(2, 30, map[int]string{20: "few"})}, []LateImport{{"few", []string{"test_1.py", "test_5.py"}, 40}, {"many", many, 35}}},
		{"other jobs do not need it", []*Results{first, job(2, 500, nil), job(3, 400, nil)}, []LateImport{{"few", few, 960}, {"many", many, 905}}},
		{"older jobs do not tell", []*Results{first, job(0, 500, nil)}, []LateImport{{"few", few, 60}, {"many", many, 5}}},
		{"another job of the run began before", []*Results{first, before(job(1, 300, nil))}, []LateImport{{"few", few, 360}, {"many", many, 305}}},
		{"in other jobs files import it", []*Results{first, job(2, 90, nil, "few", "many")}, []LateImport{{"few", few, 60}, {"many", many, 5}}},
		{"two workers, of which one imports", []*Results{workers(job(1, 100, map[int]string{31: "one"}))}, []LateImport{{"one", []string{"test_3.py"}, 66}}},
		{"two workers that both do", []*Results{workers(job(1, 100, map[int]string{31: "one", 40: "one"}))}, []LateImport{{"one", []string{"test_3.py"}, 18}}},
		{"one that imports two parts", []*Results{job(1, 100, map[int]string{20: "parts", 40: "parts"})}, []LateImport{{"parts", []string{"test_1.py", "test_3.py"}, 20}}},
		{"none", []*Results{job(1, 9, nil, "static")}, nil},
		{"removed since", append([]*Results{first}, slices.Collect(func(yield func(*Results) bool) {
			for k := range DefaultKeep {
				yield(job(2+k, 100, nil))
			}
		})...), nil},
		{"removed since, and known of older runs elsewhere", append([]*Results{first, elsewhere(job(0, 100, nil))}, slices.Collect(func(yield func(*Results) bool) {
			for k := range DefaultKeep {
				yield(job(2+k, 100, nil))
			}
		})...), nil},
	} {
		h := FromResults(c.jobs...)
		h.Prune(Limits{})
		again, err := ReadHistory(strings.NewReader(bytesOf(t, h)), "h")
		if err != nil {
			t.Fatal(err)
		}
		e := again.Estimator("linux")
		if got := e.LateImports(); !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
		if uses := e.Uses(); len(uses) > 0 {
			t.Errorf("%s: among fixtures that tests ask for are %v", c.name, uses)
		}
		for _, late := range c.want {
			want := 2 * time.Second
			if late.Library == "parts" {
				want = 4 * time.Second
			}
			if got := e.Library(late.Library); got != want {
				t.Errorf("%s: the library %s takes %v, want %v", c.name, late.Library, got, want)
			}
		}
	}
	for i, own := range []time.Duration{3 * time.Second, time.Second} {
		id := first.Tests[58+i].ID
		if got := FromResults(first).Estimator("linux").Tests([]NodeID{id})[0].Wall; got != own {
			t.Errorf("%s takes %v, want %v", id, got, own)
		}
	}
}
