package shard

import (
	"fmt"
	"testing"
	"time"
)

// A worker that goes back to an instance of a fixture with parameters sets it up again.
func TestGoesBackToInstance(t *testing.T) {
	s := Suite{Setups: []Setup{{ID: "session ::db[0]", Cost: 500 * time.Millisecond}, {ID: "session ::db[1]", Cost: 500 * time.Millisecond}}}
	for k := range 3 {
		x := test(fmt.Sprint("a.py::", k), 100)
		x.Group, x.Setups, x.Order = "g", []int{k % 2}, k
		s.Tests = append(s.Tests, x)
	}
	s.Tests = append(s.Tests, test("b.py::x", 100))
	if p := mustPack(t, s, Fleet{Shards: 1, CPUs: 2}); p.Makespan != 1800*time.Millisecond {
		t.Errorf("makespan %v, want 1.8s of three tests and three set-ups\n%s", p.Makespan, show(p))
	}
}

// A worker that comes back to a file sets up again what is the file's.
func TestComesBackToFile(t *testing.T) {
	s := Suite{Setups: []Setup{{ID: "module a.py::f", Cost: time.Second}}, Tests: []Test{test("a.py::1", 1), test("a.py::2", 1), test("b.py::1", 1)}}
	s.Tests[0].Setups, s.Tests[1].Setups = []int{0}, []int{0}
	r := newSimulator(newSequence(&s))
	r.forget(1)
	if got := duration(r.alone(0, 0) + r.alone(0, 2) + r.alone(0, 1)); got != 2003*time.Millisecond {
		t.Errorf("a test of another file between two takes %v with them, want 2.003s", got)
	}
}
