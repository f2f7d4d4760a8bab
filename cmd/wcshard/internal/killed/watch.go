package killed

import (
	"runtime"
	"slices"
	"sync"
	"time"

	"github.com/wcshard/wcshard/shard/pytest/procfs"
)

// How often processes are looked at: seldom while memory is plenty, often where
// a kill is near, and less often where there are so many processes that looking
// would take more than a part of a core, of CPU time; BenchmarkLook has the cost.
const (
	calmest    = 250 * time.Millisecond // while the limit is so far that it cannot be near before the next look
	calm       = 100 * time.Millisecond
	alert      = 30 * time.Millisecond
	calmShare  = 700
	alertShare = 20
)

// maxDepth bounds how far down a process's descendants are followed.
const maxDepth = 16

// Snapshot is what the processes of a session held at the last look before the
// kernel counted a kill.
type Snapshot struct {
	look look
}

// Watch looks at the descendants of a process until it is stopped. It knows
// Linux's /proc; elsewhere it sees nothing.
type Watch struct {
	root  int
	limit int64 // bytes; near it the looks come often
	cores int
	kills func() int64 // the kernel's counter

	stop chan struct{}
	done sync.WaitGroup
	seen []Snapshot
	peak int64          // most that all held together
	born map[int]string // start times by process ID: an ID may be given again
}

// Start begins to watch what the process starts from now on.
func Start(root int, limit int64, kills func() int64) *Watch {
	w := &Watch{root: root, limit: limit, cores: runtime.NumCPU(), kills: kills, stop: make(chan struct{}), born: map[int]string{}}
	w.done.Go(w.run)
	return w
}

// Stop ends the watch and returns what was held at each kill, and the most that
// was held at any look.
func (w *Watch) Stop() (kills []Snapshot, peak int64) {
	close(w.stop)
	w.done.Wait()
	return w.seen, w.peak
}

// Born returns the start times of all processes that were seen, by their IDs.
// It is for a watch that was stopped.
func (w *Watch) Born() map[int]string { return w.born }

// note keeps when new processes started.
func (w *Watch) note(before, now look) {
	for pid := range now {
		if _, known := before[pid]; !known {
			if start, alive := startOf(pid); alive {
				w.born[pid] = start
			}
		}
	}
}

func (w *Watch) run() {
	runtime.LockOSThread() // whose CPU time is that of looking
	defer runtime.UnlockOSThread()
	last, count := w.look(), w.kills()
	w.note(nil, last)
	took := time.Duration(0)
	for {
		held := last.total()
		w.peak = max(w.peak, held)
		pause := max(w.pause(held), calmShare*took)
		if w.near(held) {
			pause = max(alert, alertShare*took)
		}
		ended := false
		select {
		case <-w.stop:
			ended = true
		case <-time.After(pause):
		}
		began := procfs.ThreadTime()
		now, n := w.look(), w.kills()
		if n > count {
			w.seen = append(w.seen, Snapshot{last})
		}
		w.note(last, now)
		took = (took + procfs.ThreadTime() - began) / 2 // so that one costly look delays little
		last, count = now, n
		if ended {
			return
		}
	}
}

// near reports whether so much is more than half of the limit.
func (w *Watch) near(held int64) bool { return 2*held > w.limit && w.limit > 0 }

// fastest is how many bytes a second one core takes at most, about: to write new
// pages of 4 KiB from Python takes a second for 2.2 to 2.5 GiB.
const fastest = 5 << 29

// pause returns how long memory takes at least until it is near the limit. Where
// there is no limit, nothing is known of what there is.
func (w *Watch) pause(held int64) time.Duration {
	if w.limit <= 0 {
		return calm
	}
	seconds := float64(w.limit/2-held) / (fastest * float64(w.cores))
	return min(max(time.Duration(seconds*float64(time.Second)), calm), calmest)
}

// A process is one entry of a look.
type process struct {
	parent   int
	resident int64
}

type look map[int]process

// look reads the resident memory of all descendants.
func (w *Watch) look() look {
	all := look{}
	all.visit(w.root, 0)
	return all
}

// visit adds the descendants of a process.
func (l look) visit(pid, depth int) {
	if depth > maxDepth {
		return
	}
	for _, child := range procfs.Children(pid) {
		l[child] = process{parent: pid, resident: procfs.UsageOf(child).Resident}
		l.visit(child, depth+1)
	}
}

func (l look) total() int64 {
	total := int64(0)
	for _, p := range l {
		total += p.resident
	}
	return total
}

// Before returns the snapshot before the death of a process: the last one in
// which it held anything. A killed process may hold its memory for some looks
// after the kernel has counted it.
func Before(all []Snapshot, pid int) (Snapshot, bool) {
	for i := len(all) - 1; i >= 0; i-- {
		if pid != 0 && all[i].look[pid].resident > 0 {
			return all[i], true
		}
	}
	return Snapshot{}, false
}

// Held is resident memory in bytes.
type Held struct {
	Own int64 // of one process
	All int64 // with its descendants; what they share counts in each
}

// Held returns what each worker held, by process ID, and under 0 what the other
// processes of the session did.
func (s Snapshot) Held(workers []int) map[int]Held {
	held := map[int]Held{}
	for pid, p := range s.look {
		at := pid
		for hops := 0; at != 0 && !slices.Contains(workers, at) && hops < maxDepth; hops++ {
			at = s.look[at].parent
		}
		if !slices.Contains(workers, at) {
			at = 0
		}
		sum := held[at]
		sum.All += p.resident
		if at == pid {
			sum.Own = p.resident
		}
		held[at] = sum
	}
	return held
}
