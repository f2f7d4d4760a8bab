package pytest

import (
	"bytes"
	"os"
	"slices"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// slowest is how often this system is looked at most.
const slowest time.Duration = 0

// threadTime returns the CPU time of this thread. Wall time would count what
// others take on a busy machine, and samples would become rare when they
// matter; getrusage counts what is below a tick of the kernel's clock by
// chance.
func threadTime() time.Duration {
	var t unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &t); err != nil {
		return 0
	}
	return time.Duration(t.Nano())
}

var pageSize = int64(os.Getpagesize())

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
	sum    usage
	twice  int64
}

// usage is resident memory, and which of it belongs to files, bytes.
type usage struct{ resident, files int64 }

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
		u := usageOf(pid)
		if u.resident == 0 {
			continue // it has ended
		}
		held[worker] = processMemory{u.resident, p.children(pid, u, own)}
	}
	return held
}

// children returns what the descendants of a process hold. What they share
// with it and with each other, such as memory that was forked and not touched,
// counts once: proportional shares are asked for when they may have changed.
func (p *processes) children(pid int, itself usage, own map[int]bool) int64 {
	sum := itself
	tree := slices.DeleteFunc(descendantsOf(nil, pid, own), func(child int) bool {
		u := usageOf(child)
		sum.resident += u.resident
		sum.files += u.files
		return u.resident == 0 // it has ended
	})
	if len(tree) == 0 {
		delete(p.trees, pid)
		return 0
	}
	known := p.trees[pid]
	if p.cost.left > 0 && known.changed(tree, sum) {
		before := threadTime()
		known = sharesOf(pid, tree, itself, sum)
		took := threadTime() - before
		p.cost.spend(took)
		p.spent += took
		if slices.ContainsFunc(tree, func(child int) bool { return usageOf(child).resident == 0 }) {
			// What one that ends shares was read of some and not of others.
			return p.children(pid, usageOf(pid), own)
		}
		p.trees[pid] = known
	}
	return max(0, sum.resident-known.twice-itself.resident)
}

// changed reports whether processes may share more or less than before. Those
// that run a program of their own share files only, so that what else they
// take, which is most, changes nothing.
func (s shares) changed(tree []int, sum usage) bool {
	return !slices.Equal(s.tree, tree) ||
		abs(sum.files-s.sum.files) > s.sum.files/8 ||
		s.forked && abs(sum.resident-s.sum.resident) > s.sum.resident/8
}

// sharesOf asks for the shares of a process and its descendants.
func sharesOf(pid int, tree []int, itself, sum usage) shares {
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
	s.twice = max(0, sum.resident-itself.resident-children+shared)
	return s
}

// stackOf returns where the stack of a process begins, "0" where that is not
// told.
func stackOf(pid int) string {
	var buffer [1024]byte
	line := readProc(buffer[:], "/proc/"+strconv.Itoa(pid)+"/stat")
	fields := bytes.Fields(line[bytes.LastIndexByte(line, ')')+1:])
	const startstack = 28 - 3 // in proc(5), without those up to the name
	if len(fields) <= startstack {
		return "0"
	}
	return string(fields[startstack])
}

// usageOf returns what a process holds, nothing for one that is gone.
func usageOf(pid int) usage {
	var buffer [128]byte
	fields := bytes.Fields(readProc(buffer[:], "/proc/"+strconv.Itoa(pid)+"/statm"))
	if len(fields) < 3 {
		return usage{}
	}
	resident, _ := strconv.ParseInt(string(fields[1]), 10, 64)
	files, _ := strconv.ParseInt(string(fields[2]), 10, 64)
	return usage{resident * pageSize, files * pageSize}
}

func descendantsOf(found []int, pid int, own map[int]bool) []int {
	var buffer [4096]byte
	tasks := "/proc/" + strconv.Itoa(pid) + "/task/"
	for _, thread := range namesIn(tasks) {
		for _, field := range bytes.Fields(readProc(buffer[:], tasks+thread+"/children")) {
			child, err := strconv.Atoi(string(field))
			if err == nil && !own[child] {
				found = descendantsOf(append(found, child), child, own)
			}
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
	for line := range bytes.Lines(readProc(buffer[:], "/proc/"+strconv.Itoa(pid)+"/"+file)) {
		name, rest, _ := bytes.Cut(line, []byte(":"))
		number, _, _ := bytes.Cut(bytes.TrimLeft(rest, " \t"), []byte(" kB"))
		if kib, err := strconv.ParseInt(string(number), 10, 64); err == nil {
			kinds[string(name)] = kib << 10
		}
	}
	return kinds
}

// readProc reads a file of /proc in one go, nothing where it is not there. It
// goes by the system's calls: what package os does for files that may be waited
// for takes longer than the file.
func readProc(buffer []byte, path string) []byte {
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil
	}
	n, _ := unix.Read(fd, buffer)
	_ = unix.Close(fd)
	return buffer[:max(0, n)]
}

// namesIn lists a folder, as far as it is there.
func namesIn(dir string) []string {
	fd, err := unix.Open(dir, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil
	}
	defer unix.Close(fd)
	var names []string
	var buffer [4096]byte
	for {
		n, err := unix.ReadDirent(fd, buffer[:])
		if n <= 0 || err != nil {
			return names
		}
		_, _, names = unix.ParseDirent(buffer[:n], -1, names)
	}
}
