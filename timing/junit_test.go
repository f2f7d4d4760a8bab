package timing

import (
	"reflect"
	"slices"
	"strings"
	"testing"
)

// A test case is the one test that it can be, or is reported.
func TestImportJUnit(t *testing.T) {
	known := []NodeID{"a/b.py::t", "a/b.py::t", "x/y.py::same", "x.y.py::same", "x/y.py::also", "x.y.py::also", "x/y.yml::user@host"}
	for _, c := range []struct {
		name, suite string
		tests       []NodeID
		report      ImportReport
		seconds     int // of the first test
	}{
		{"known twice", `<testcase classname="a.b" name="t" time="1"/>`, []NodeID{"a/b.py::t"}, ImportReport{Mapped: 1}, 1},
		{"an @ in its name", `<testcase classname="x.y.yml" name="user@host" time="1"/>`, []NodeID{"x/y.yml::user@host"}, ImportReport{Mapped: 1}, 1},
		{"the group of an unknown test", `<testcase classname="c.d" file="c/d.py" name="t@g" time="2"/>`, []NodeID{"c/d.py::t"}, ImportReport{Mapped: 1}, 2},
		{"a file whose name the class's begins with", `<testcase classname="c.data" file="c/d.py" name="t" time="2"/>`, nil, ImportReport{Unmapped: []string{"c.data::t"}}, 0},
		{"the file of a base class", `<testcase classname="x.y" file="base.py" name="same" time="2"/>`, nil, ImportReport{Ambiguous: []string{"x.y::same"}}, 0},
		{"reported in order", `<testcase classname="z" name="t" time="2"/><testcase classname="b" name="t" time="2"/><testcase classname="x.y" name="same" time="2"/><testcase classname="x.y" name="also" time="2"/>`, nil,
			ImportReport{Unmapped: []string{"b::t", "z::t"}, Ambiguous: []string{"x.y::also", "x.y::same"}}, 0},
		{"failed, and in its teardown as well: one", `<testcase classname="a.b" name="t" time="1"><failure/></testcase><testcase classname="a.b" name="t" time="2"><error/></testcase>`, []NodeID{"a/b.py::t"}, ImportReport{Mapped: 1}, 3},
		{"passed, and failed to set up: two", `<testcase classname="a.b" name="t" time="1"/><testcase classname="a.b" name="t" time="2"><error/></testcase>`, []NodeID{"a/b.py::t"}, ImportReport{Mapped: 2}, 1},
	} {
		h, report, err := ImportJUnit(strings.NewReader("<testsuite>"+c.suite+"</testsuite>"), "f", known)
		if err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		if !slices.Equal(h.Tests(), c.tests) || !reflect.DeepEqual(report, c.report) {
			t.Errorf("%s: tests %q, %+v, want %q, %+v", c.name, h.Tests(), report, c.tests, c.report)
		} else if len(c.tests) > 0 && callsIn(h, c.tests[0])[0] != c.seconds {
			t.Errorf("%s: it took %d s, want %d", c.name, callsIn(h, c.tests[0]), c.seconds)
		}
	}
}

// A file of several suites is as old as the newest one.
func TestImportJUnitStarted(t *testing.T) {
	const suites = `<testsuites><testsuite timestamp="2024-01-02T00:00:00"><testcase classname="a.b" name="t" time="1"/></testsuite><testsuite timestamp="2020-01-02T00:00:00"/></testsuites>`
	h, _, err := ImportJUnit(strings.NewReader(suites), "f", []NodeID{"a/b.py::t"})
	if err != nil {
		t.Fatal(err)
	}
	if got := h.Samples("a/b.py::t")[0].Started.Year(); got != 2024 {
		t.Errorf("started in %d, want 2024", got)
	}
}
