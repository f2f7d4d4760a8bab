package main

import (
	"slices"
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
	first := collection("a.py::test_x[1]", "a.py::test_x[2]", "a.py::test_y", "b.py::test_t[10:01]", "b.py::test_t[10:02]", "b.py::test_twice", "b.py::test_twice", "c.py::test_gone")
	second := collection("a.py::test_y", "a.py::test_x[2]", "a.py::test_x[1]", "b.py::test_t[10:03]", "b.py::test_t[10:04]", "b.py::test_twice", "b.py::test_twice", "c.py::test_new")
	want := []string{
		"b.py::test_t[10:01] is b.py::test_t[10:03] in a second collection (and 1 more of its tests)",
		"c.py::test_gone is not in a second collection",
	}
	if got := renamedTests(first, second); !slices.Equal(got, want) {
		t.Errorf("renamed %q, want %q", got, want)
	}
	if got := renamedTests(collection("a.py::test", "a.py::test"), collection("a.py::test")); len(got) != 1 {
		t.Errorf("of namesakes that are one fewer: %q, want one", got)
	}
	first.Collector.Parameters = []shard.Parameters{{ID: "a.py::test_x", Order: "1", Values: "9"}, {ID: "a.py::test_y", Order: "1", Values: "9"}, {ID: "a.py::test_z", Order: "1", Values: "9"}}
	second.Collector.Parameters = []shard.Parameters{{ID: "a.py::test_x", Order: "2", Values: "9"}, {ID: "a.py::test_y", Order: "1", Values: "9"}, {ID: "a.py::test_z", Order: "2", Values: "8"}}
	if got := reorderedFunctions(first, second); !slices.Equal(got, []string{"a.py::test_x"}) {
		t.Errorf("reordered %q, want a.py::test_x alone", got)
	}
}
