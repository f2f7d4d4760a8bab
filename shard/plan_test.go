package shard

import (
	"reflect"
	"testing"

	"github.com/wcshard/wcshard/timing"
)

// Workers take the units that have a number first, and then what has none: test by test of
// a piece that is cut, whole of any other.
func TestUnitsOfShard(t *testing.T) {
	s := Shard{Pieces: []Piece{
		{File: "a.py", Cut: true, Tests: []string{"::1", "::2", "::3"}, Units: []UnitRun{{0, 2}, {1, 1}}},
		{File: "b.py", Tests: []string{"::1", "::2"}},
		{File: "c.py", Tests: []string{"::1", "::2"}, Units: []UnitRun{{1, 1}, {0, 1}}},
	}}
	want := [][]timing.NodeID{{"a.py::3", "c.py::1"}, {"a.py::1"}, {"a.py::2"}, {"b.py::1", "b.py::2"}, {"c.py::2"}}
	if got := s.Units(); !reflect.DeepEqual(got, want) {
		t.Errorf("Units() = %q, want %q", got, want)
	}
}
