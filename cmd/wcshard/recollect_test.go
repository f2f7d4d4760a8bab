package main

import (
	"slices"
	"strings"
	"testing"

	"github.com/wcshard/wcshard/shard"
	"github.com/wcshard/wcshard/shard/pytest"
	"github.com/wcshard/wcshard/timing"
)

func TestRecollect(t *testing.T) {
	collection := func(ids ...timing.NodeID) *pytest.Collection {
		c := &pytest.Collection{}
		for _, id := range ids {
			c.Tests = append(c.Tests, pytest.CollectedTest{ID: id})
		}
		return c
	}
	first := collection("a.py::test_x[1]", "a.py::test_x[2]", "a.py::test_y", "b.py::test_t[10:01]", "b.py::test_t[10:02]", "b.py::test_twice", "b.py::test_twice", "c.py::test_gone", "d[1]/e.py::test", "d[1]/f.py::test")
	second := collection("a.py::test_y", "a.py::test_x[2]", "a.py::test_x[1]", "b.py::test_t[10:03]", "b.py::test_t[10:04]", "b.py::test_twice", "b.py::test_twice", "c.py::test_new")
	want := []string{
		"b.py::test_t[10:01] is b.py::test_t[10:03] in a second collection (and so with 1 more of its tests): no shard finds it under that name. Keep times, random values and addresses out of the parameters of tests, or name them: ids=[…]",
		"c.py::test_gone is not in a second collection: no shard finds it; see what it hangs on",
		"d[1]/e.py::test is not in a second collection: no shard finds it; see what it hangs on",
		"d[1]/f.py::test is not in a second collection: no shard finds it; see what it hangs on",
		"c.py::test_new is in a second collection alone: no shard has it; see what it hangs on",
	}
	if got := renamedTests(first, second); !slices.Equal(got, want) {
		t.Errorf("renamed %q, want %q", got, want)
	}
	if got := renamedTests(collection("a.py::test", "a.py::test"), collection("a.py::test")); len(got) != 1 {
		t.Errorf("of namesakes that are one fewer: %q, want one", got)
	}
	first.Collector.Parameters = []shard.Parameters{{ID: "a.py::test_x", Order: "1", Values: "9"}, {ID: "a.py::test_y", Order: "1", Values: "9"}, {ID: "a.py::test_z", Order: "1", Values: "9"}}
	second.Collector.Parameters = []shard.Parameters{{ID: "a.py::test_x", Order: "2", Values: "9"}, {ID: "a.py::test_y", Order: "1", Values: "9"}, {ID: "a.py::test_z", Order: "2", Values: "8"}}
	if got := reorderedFunctions(first, second); len(got) != 1 || !strings.HasPrefix(got[0], "a.py::test_x has its parameters in another order") {
		t.Errorf("reordered %q, want a.py::test_x alone", got)
	}
}
