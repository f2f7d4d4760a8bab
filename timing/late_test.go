package timing

import (
	"fmt"
	"reflect"
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
			result := TestResult{ID: NodeID(fmt.Sprintf("test_%d.py::x", (n-1)/10)), Outcome: Passed, Wall: 3 * time.Second, Call: time.Second}
			if library, is := late[n]; is {
				result.Fixtures = []FixtureResult{{ID: LibraryPrefix + library, Setup: 2 * time.Second}}
			}
			r.Tests = append(r.Tests, result)
		}
		imports := map[string]time.Duration{}
		for _, library := range static {
			imports[LibraryPrefix+library] = 2 * time.Second
		}
		r.Workers = []WorkerResult{{Worker: "main", Startup: time.Second, Imports: imports}}
		return r
	}
	first := job(1, 100, map[int]string{5: "many", 19: "many", 60: "few"}) // two workers, say, imported the first
	few, many := []string{"test_5.py"}, []string{"test_0.py", "test_1.py"}
	for _, c := range []struct {
		name  string
		jobs  []*Results
		tests int // of a job
		want  []LateImport
	}{
		{"one job", []*Results{first}, 25, []LateImport{{"few", few, false}, {"many", many, true}}},
		{"small jobs", []*Results{first}, 3, []LateImport{{"few", few, false}, {"many", many, false}}},
		{"one file only", []*Results{first}, 90, []LateImport{{"few", few, false}, {"many", many, true}}},
		{"again in the same file", []*Results{first, job(2, 100, map[int]string{60: "few"})}, 90, []LateImport{{"few", few, false}, {"many", many, true}}},
		{"another file", []*Results{first, job(2, 30, map[int]string{1: "few"})}, 50, []LateImport{{"few", []string{"test_0.py", "test_5.py"}, true}, {"many", many, true}}},
		{"other jobs do not need it", []*Results{first, job(2, 500, nil), job(3, 500, nil)}, 50, []LateImport{{"few", few, false}, {"many", many, false}}},
		{"in other jobs files import it", []*Results{first, job(2, 90, nil, "few", "many")}, 4, []LateImport{{"few", few, false}, {"many", many, true}}},
		{"none", []*Results{job(1, 9, nil, "static")}, 9, nil},
	} {
		h := FromResults(c.jobs...)
		again, err := ReadHistory(strings.NewReader(bytesOf(t, h)), "h")
		if err != nil {
			t.Fatal(err)
		}
		e := again.Estimator("linux")
		if got := e.LateImports(c.tests); !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
		if uses := e.Uses(); len(uses) > 0 {
			t.Errorf("%s: among fixtures that tests ask for are %v", c.name, uses)
		}
	}
	e := FromResults(first).Estimator("linux")
	if got := e.Library("few"); got != 2*time.Second {
		t.Errorf("the library takes %v, want 2s", got)
	}
	if got := e.Tests([]NodeID{"test_5.py::x"})[0].Wall; got > 3*time.Second {
		t.Errorf("the test that imported it takes %v", got)
	}
}
