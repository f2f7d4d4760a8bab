package main

import "time"

// A usage is what a program took, with all its processes.
type usage struct {
	cpu  time.Duration
	idle time.Duration // in which no core worked that it might use: it slept, or waited for a disk
	wall time.Duration
}

// alone returns the seconds that a program of one process would take with a core
// to itself, on a machine that is so many times less slow: what sleeps sleeps as
// long on any.
func (u usage) alone(slower float64) float64 { return u.cpu.Seconds()/slower + u.idle.Seconds() }

// An idleClock tells what the cores that this process may use were idle for.
type idleClock struct {
	began time.Time
	idle  time.Duration
	cores int // 0: the system does not tell
}

func startIdleClock() idleClock {
	idle, cores := idleTime()
	return idleClock{time.Now(), idle, cores}
}

// stop returns for how long all of the cores were idle.
func (c idleClock) stop() time.Duration {
	now, cores := idleTime()
	if cores == 0 || cores != c.cores {
		return 0
	}
	return allIdle(now-c.idle, cores, time.Since(c.began))
}

// allIdle returns for how long none of the cores worked, which were idle for so long
// in sum, if at most one did at a time. Where others have work it is less: what they do
// on one core is taken for what was done here.
func allIdle(sum time.Duration, cores int, wall time.Duration) time.Duration {
	return min(max(0, sum-time.Duration(cores-1)*wall), wall)
}
