package main

import (
	"strings"
	"testing"
	"time"
)

// A stat file of proc_stat(5), with a core of each kind.
const stat = `cpu  10 20 30 4000 500 6 7 8 0 0
cpu0 1 2 3 100 50 0 0 0 0 0
cpu1 1 2 3 200 0 0 0 0 0 0
cpu12 1 2 3 400 1 0 0 0 0 0
intr 12345 1 2 3 4 5
ctxt 1
`

func TestReadIdle(t *testing.T) {
	for _, c := range []struct {
		name    string
		stat    string
		allowed []int
		idle    time.Duration
		cores   int
	}{
		{"one core", stat, []int{1}, 2 * time.Second, 1},
		{"with what it waits for disks", stat, []int{0}, 1500 * time.Millisecond, 1},
		{"all", stat, []int{0, 1, 12}, 7510 * time.Millisecond, 3},
		{"one that is not there", stat, []int{3}, 0, 0},
		{"something else", "cpu0 1 2 3 x 0", []int{0}, 0, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			allowed := map[int]bool{}
			for _, core := range c.allowed {
				allowed[core] = true
			}
			idle, cores := readIdle(strings.NewReader(c.stat), func(core int) bool { return allowed[core] })
			if idle != c.idle || cores != c.cores {
				t.Errorf("%v of %d cores, want %v of %d", idle, cores, c.idle, c.cores)
			}
		})
	}
}

func TestIdleClock(t *testing.T) {
	clock := startIdleClock()
	if clock.cores < 1 {
		t.Fatalf("%d cores, want one or more", clock.cores)
	}
	time.Sleep(100 * time.Millisecond)
	if idle := clock.stop(); idle < 0 || idle > time.Since(clock.began) {
		t.Errorf("idle for %v of %v", idle, time.Since(clock.began)) // how long depends on what others do
	}
}

func TestAllIdle(t *testing.T) {
	const s = time.Second
	for _, c := range []struct {
		sum   time.Duration
		cores int
		wall  time.Duration
		want  time.Duration
	}{
		{3 * s, 1, 10 * s, 3 * s},
		{10 * s, 2, 10 * s, 0},      // one worked all the time
		{13 * s, 2, 10 * s, 3 * s},  // it slept for 3 s, the other core for 10
		{7 * s, 2, 10 * s, 0},       // others worked as well
		{41 * s, 4, 10 * s, 10 * s}, // ticks are coarse
	} {
		if got := allIdle(c.sum, c.cores, c.wall); got != c.want {
			t.Errorf("%d cores that were idle for %v of %v: %v, want %v", c.cores, c.sum, c.wall, got, c.want)
		}
	}
}

func TestAlone(t *testing.T) {
	u := usage{cpu: 6 * time.Second, idle: 2 * time.Second, wall: 20 * time.Second}
	for slower, want := range map[float64]float64{1: 8, 2: 5, 0.5: 14} {
		if got := u.alone(slower); got != want {
			t.Errorf("on a machine %v times slower: %v s, want %v", slower, got, want)
		}
	}
}
