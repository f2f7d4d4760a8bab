package main

import (
	"testing"
	"time"
)

// What a program leaves behind counts to it.
func TestOrphans(t *testing.T) {
	s := &benchSuite{}
	// The shell is replaced by sleep, which waits for nothing.
	const left = `python3 -c "
import time
end = time.process_time() + 0.3
while time.process_time() < end: pass" & exec sleep 1.5`
	without, err := s.call(t.Context(), t.TempDir(), "sh", "-c", left)
	if err != nil {
		t.Fatal(err)
	}
	if s.adopts = adoptOrphans(); !s.adopts {
		t.Skip("the system does not give it its grandchildren")
	}
	with, err := s.call(t.Context(), t.TempDir(), "sh", "-c", left)
	if err != nil || without.cpu > 200*time.Millisecond || with.cpu < 300*time.Millisecond {
		t.Errorf("%v without and %v with what it left behind, %v; want 300 ms more", without.cpu, with.cpu, err)
	}
}
