package shard

import (
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestCompareNatural(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		draw := rapid.StringMatching(`[ab0-2]{0,5}`)
		a, b, c := draw.Draw(t, "a"), draw.Draw(t, "b"), draw.Draw(t, "c")
		if compareNatural(a, b) != -compareNatural(b, a) || (compareNatural(a, b) == 0) != (a == b) {
			t.Errorf("%q and %q are not ordered strictly", a, b)
		}
		if compareNatural(a, b) < 0 && compareNatural(b, c) < 0 && compareNatural(a, c) >= 0 {
			t.Errorf("%q < %q < %q is not transitive", a, b, c)
		}
	})
}

// Tests may share an array of what they need, and one of them need less of it.
func TestSetupsOfOneArray(t *testing.T) {
	s := Suite{Setups: []Setup{{ID: "a", Cost: time.Second}, {ID: "b", Cost: time.Second}}, Tests: needingAll([]Test{test("a.py::x", 1000), test("b.py::x", 1000)}, 0, 1)}
	s.Tests[0].Setups = s.Tests[1].Setups[:1]
	if got := duration(newSequence(&s).load([]int32{0, 1})); got != 4*time.Second {
		t.Errorf("two tests with two set-ups take %v, want 4s", got)
	}
}
