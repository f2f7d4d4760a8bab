package shard

import (
	"testing"
	"time"

	"github.com/wcshard/wcshard/timing"
)

// Of two files that are as long as each other, spreading one over the workers does not
// help, and both does.
func TestSettleSpreadsTwo(t *testing.T) {
	s := Suite{Tests: append(tests("a.py", 6, 10), tests("b.py", 6, 10)...)}
	for i := range s.Tests {
		s.Tests[i].Estimate.Rung = timing.Guess // else the plan says what each worker runs
	}
	if p := mustPack(t, s, Fleet{Shards: 1, CPUs: 4}); p.Makespan != 30*time.Millisecond {
		t.Errorf("makespan %v, want 30ms\n%s", p.Makespan, show(p))
	}
}
