package main

import (
	"testing"
	"time"

	"github.com/wcshard/wcshard/shard"
)

func TestSetApart(t *testing.T) {
	const mib = 1 << 20
	s := &shard.Shard{Workers: 3, Floor: 50 * mib, Pieces: []shard.Piece{
		{File: "heavy.py", Tests: []string{"::light", "::heavy"}, Needs: []shard.TestNeed{{Test: 1, Need: 400 * mib}}},
		{File: "light.py", Tests: []string{"::a", "::b"}, Needs: []shard.TestNeed{{Test: 0, Need: 200 * mib}}}, // all three workers can have that at once
		{File: "fixture.py", Tests: []string{"::a", "::heavy"}, Needs: []shard.TestNeed{{Test: 1, Need: 400 * mib}}},
		{File: "alone.py", Tests: []string{"::heavy"}, Needs: []shard.TestNeed{{Test: 0, Need: 400 * mib}}},
		{File: "heavy.py", Tests: []string{"::more"}},
	}}
	setApart(s, budget{memory: 1000 * mib, reserve: 100 * mib}, func(file string) time.Duration {
		if file == "fixture.py" {
			return time.Second
		}
		return 0
	})
	want := []bool{true, false, false, false, true}
	for i, p := range s.Pieces {
		if p.Cut != want[i] {
			t.Errorf("piece %d, of %s: cut %v, want %v", i, p.File, p.Cut, want[i])
		}
	}
}
