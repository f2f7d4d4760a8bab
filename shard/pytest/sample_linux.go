package pytest

import (
	"bytes"
	"slices"
	"strconv"
	"time"

	"github.com/wcshard/wcshard/shard/pytest/procfs"
)

// slowest is how often this system is looked at most.
const slowest time.Duration = 0

// processes remembers what is costly to find out.
type processes struct {
	trees map[int]shares // by process ID
	cost  credit         // of finding shares
	spent time.Duration  // on shares, lately
}

func newProcesses() processes { return processes{trees: map[int]shares{}, cost: shareCost} }

// shares is how much of the memory of a process and its descendants is counted
// more than once when their resident memory is summed.
type shares struct {
	tree   []int
	forked bool // one from another
	sum    procfs.Usage
	twice  int64
}

// held returns what the processes hold that are there. Descendants that are
// processes of the session themselves are not counted as children.
func (p *processes) held(now time.Time, pids map[string]int) map[string]processMemory {
	p.cost.earn(now)
	p.spent = 0
	own := make(map[int]bool, len(pids))
	for _, pid := range pids {
		own[pid] = true
	}
	held := make(map[string]processMemory, len(pids))
	for worker, pid := range pids {
		u := procfs.UsageOf(pid)
		if u.Resident == 0 {
			continue // it has ended
		}
		held[worker] = processMemory{u.Resident, p.children(pid, u, own)}
	}
	return held
}

// children returns what the descendants of a process hold. What they share
// with it and with each other, such as memory that was forked and not touched,
// counts once: proportional shares are asked for when they may have changed.
func (p *processes) children(pid int, itself procfs.Usage, own map[int]bool) int64 {
	sum := itself
	tree := slices.DeleteFunc(descendantsOf(nil, pid, own), func(child int) bool {
		u := procfs.UsageOf(child)
		sum.Resident += u.Resident
		sum.Files += u.Files
		return u.Resident == 0 // it has ended
	})
	if len(tree) == 0 {
		delete(p.trees, pid)
		return 0
	}
	known := p.trees[pid]
	if p.cost.left > 0 && known.changed(tree, sum) {
		before := procfs.ThreadTime()
		known = sharesOf(pid, tree, itself, sum)
		took := procfs.ThreadTime() - before
		p.cost.spend(took)
		p.spent += took
		if slices.ContainsFunc(tree, func(child int) bool { return procfs.UsageOf(child).Resident == 0 }) {
			// What one that ends shares was read of some and not of others.
			return p.children(pid, procfs.UsageOf(pid), own)
		}
		p.trees[pid] = known
	}
	return max(0, sum.Resident-known.twice-itself.Resident)
}

// changed reports whether processes may share more or less than before. Those
// that run a program of their own share files only, so that what else they
// take, which is most, changes nothing.
func (s shares) changed(tree []int, sum procfs.Usage) bool {
	return !slices.Equal(s.tree, tree) ||
		abs(sum.Files-s.sum.Files) > s.sum.Files/8 ||
		s.forked && abs(sum.Resident-s.sum.Resident) > s.sum.Resident/8
}

// sharesOf asks for the shares of a process and its descendants.
func sharesOf(pid int, tree []int, itself, sum procfs.Usage) shares {
	s := shares{tree: tree, sum: sum}
	// The memory of its files is its own, whoever else has it open: other
	// workers do. What it shares besides, it shares with who was forked.
	all := memoryOf(pid, "smaps_rollup")
	shared := all["Rss"] - all["Pss"] // before Linux 5.9
	if anonymous, known := all["Pss_Anon"]; known {
		shared = all["Anonymous"] - anonymous + memoryOf(pid, "status")["RssShmem"] - all["Pss_Shmem"]
	}
	children := int64(0)
	stacks := map[string]bool{stackOf(pid): true}
	for _, child := range tree {
		stacks[stackOf(child)] = true
		children += memoryOf(child, "smaps_rollup")["Pss"]
	}
	// A program that is started has its stack at a place of its own.
	s.forked = len(stacks) <= len(tree)
	s.twice = max(0, sum.Resident-itself.Resident-children+shared)
	return s
}

// stackOf returns where the stack of a process begins, "0" where that is not
// told.
func stackOf(pid int) string {
	fields := procfs.Stat(pid)
	const startstack = 28 - 3 // in proc(5), without those up to the name
	if len(fields) <= startstack {
		return "0"
	}
	return string(fields[startstack])
}

func descendantsOf(found []int, pid int, own map[int]bool) []int {
	for _, child := range procfs.Children(pid) {
		if !own[child] {
			found = descendantsOf(append(found, child), child, own)
		}
	}
	return found
}

// memoryOf returns what a file of /proc tells of a process's memory by kind,
// bytes. In smaps_rollup Pss is shared memory divided among its users; to sum it
// takes some 25 µs a MiB.
func memoryOf(pid int, file string) map[string]int64 {
	var buffer [4096]byte
	kinds := map[string]int64{}
	for line := range bytes.Lines(procfs.Read(buffer[:], pid, file)) {
		name, rest, _ := bytes.Cut(line, []byte(":"))
		number, _, _ := bytes.Cut(bytes.TrimLeft(rest, " \t"), []byte(" kB"))
		if kib, err := strconv.ParseInt(string(number), 10, 64); err == nil {
			kinds[string(name)] = kib << 10
		}
	}
	return kinds
}
