// Package cgroup is all we know of how an operating system rations memory:
// what this process may use, how many processes the kernel has killed for want
// of it, and how to run a command within less. What it knows of is Linux: the
// memory controller of cgroup v1 and of v2, nested, in containers or not.
package cgroup

import (
	"bufio"
	"cmp"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// Host is the machine as its files tell of it. The zero Host is the one that
// we run on; a test passes a folder with proc and sys in it.
type Host struct {
	Root string // stands before /proc and /sys
}

// Memory is what a process and its children may use.
type Memory struct {
	Free  int64  // bytes that can be had now
	Total int64  // bytes of the machine or the container, used or not
	From  string // what bounds Free: "this machine", or a cgroup by name
}

// Unknown is Memory.Free, and a counter, of which the system does not tell.
const Unknown = -1

// ErrUnknown says that a system does not tell how much memory there is.
var ErrUnknown = errors.New("this system does not tell how much memory can be had")

// Memory returns what can be had here: the machine's available memory, or less
// where a limit of our cgroup or of any above it leaves less.
func (h Host) Memory() (Memory, error) {
	memory, err := h.machine()
	if err != nil {
		return Memory{}, err
	}
	own, err := h.own()
	if err != nil {
		return memory, nil // no memory controller: nothing else bounds us
	}
	for _, level := range own.upwards() {
		limit := level.limit()
		if limit >= memory.Total && limit >= memory.Free {
			continue
		}
		memory.Total = min(memory.Total, limit)
		if free := max(0, limit-level.working()); free < memory.Free {
			memory.Free, memory.From = free, "cgroup "+level.name()
		}
	}
	return memory, nil
}

// machine returns the machine's memory by /proc/meminfo.
func (h Host) machine() (Memory, error) {
	fields, err := readFields(filepath.Join(h.Root, "/proc/meminfo"))
	if errors.Is(err, os.ErrNotExist) {
		return machineMemory()
	}
	if err != nil {
		return Memory{}, fmt.Errorf("reading the machine's memory: %w", err)
	}
	total, available := fields["MemTotal:"]<<10, fields["MemAvailable:"]<<10
	if total == 0 || available == 0 {
		return Memory{}, ErrUnknown
	}
	return Memory{Free: available, Total: total, From: "this machine"}, nil
}

// A place is one cgroup that has the memory controller.
type place struct {
	mount string // where the hierarchy is mounted
	path  string // below it, "/" for the mount itself
	v2    bool
}

func (p place) dir() string { return filepath.Join(p.mount, p.path) }

// name is how the system's own tools call it.
func (p place) name() string { return cmp.Or(p.path, "/") }

func (p place) file(name string) string { return filepath.Join(p.dir(), name) }

// pick returns the file that a version of cgroups has.
func (p place) pick(v1, v2 string) string {
	if p.v2 {
		return p.file(v2)
	}
	return p.file(v1)
}

// upwards returns the cgroup and those above it, as far as they can be seen.
func (p place) upwards() []place {
	all := []place{p}
	for p.path != "/" {
		p.path = filepath.Dir(p.path)
		all = append(all, p)
	}
	return all
}

// own finds the cgroup that counts our memory.
func (h Host) own() (place, error) {
	data, err := os.ReadFile(filepath.Join(h.Root, "/proc/self/cgroup"))
	if err != nil {
		return place{}, err
	}
	path, v2, err := memoryPath(string(data))
	if err != nil {
		return place{}, err
	}
	return h.locate(path, v2)
}

// memoryPath finds the memory controller's line in /proc/PID/cgroup. Where it
// is mounted as v1, the v2 line stands there all the same and counts nothing.
func memoryPath(text string) (path string, v2 bool, err error) {
	found := false
	for line := range strings.Lines(text) {
		parts := strings.SplitN(strings.TrimSuffix(line, "\n"), ":", 3)
		if len(parts) != 3 {
			continue
		}
		for controller := range strings.SplitSeq(parts[1], ",") {
			if controller == "memory" {
				return parts[2], false, nil
			}
		}
		if parts[0] == "0" && parts[1] == "" {
			path, v2, found = parts[2], true, true
		}
	}
	if !found {
		return "", false, errors.New("no memory controller in /proc/self/cgroup")
	}
	return path, v2, nil
}

// locate finds the folder of a cgroup. In a container the mount shows only a
// part of the hierarchy: what its root is named there goes off the path.
func (h Host) locate(path string, v2 bool) (place, error) {
	file, err := os.Open(filepath.Join(h.Root, "/proc/self/mountinfo"))
	if err != nil {
		return place{}, err
	}
	defer file.Close()
	lines := bufio.NewScanner(file)
	for lines.Scan() {
		head, tail, ok := strings.Cut(lines.Text(), " - ")
		mount, kind := strings.Fields(head), strings.Fields(tail)
		if !ok || len(mount) < 5 || len(kind) < 3 || !isMemoryMount(kind, v2) {
			continue
		}
		found := place{mount: filepath.Join(h.Root, unescape(mount[4])), path: "/", v2: v2}
		root := unescape(mount[3])
		below, inside := strings.CutPrefix(path, strings.TrimSuffix(root, "/"))
		if inside && (below == "" || below[0] == '/') && !strings.Contains(below, "/..") {
			found.path = filepath.Join("/", below)
		}
		if _, err := os.Stat(found.dir()); err != nil {
			found.path = "/" // of another namespace
		}
		return found, nil
	}
	return place{}, errors.New("no memory controller is mounted")
}

func isMemoryMount(kind []string, v2 bool) bool {
	if v2 {
		return kind[0] == "cgroup2"
	}
	if kind[0] != "cgroup" {
		return false
	}
	for option := range strings.SplitSeq(kind[2], ",") {
		if option == "memory" {
			return true
		}
	}
	return false
}

// unescape undoes mountinfo's octal escapes of blanks.
func unescape(path string) string {
	return strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`).Replace(path)
}

// limit returns the most that the cgroup may use, MaxInt64 where it is
// unlimited.
func (p place) limit() int64 {
	if !p.v2 {
		return readNumber(p.file("memory.limit_in_bytes"), math.MaxInt64)
	}
	// Above memory.high the kernel slows a process down until it has freed
	// some: a test suite would not die there, but never end.
	return min(readNumber(p.file("memory.max"), math.MaxInt64), readNumber(p.file("memory.high"), math.MaxInt64))
}

// working returns what the cgroup uses, without the cached files that the
// kernel lets go first.
func (p place) working() int64 {
	used := readNumber(p.pick("memory.usage_in_bytes", "memory.current"), 0)
	stat, _ := readFields(p.file("memory.stat"))
	cached := stat["inactive_file"]
	if !p.v2 {
		cached = stat["total_inactive_file"]
	}
	return max(0, used-cached)
}

// killed returns how many of its processes the kernel has killed for want of
// memory, or Unknown.
func (p place) killed() int64 {
	fields, err := readFields(p.pick("memory.oom_control", "memory.events"))
	n, ok := fields["oom_kill"] // v1 has it since Linux 4.13
	if err != nil || !ok {
		return Unknown
	}
	return n
}

// Kills returns a function that tells how many processes the kernel has killed
// for want of memory: of our cgroup, and on the whole machine; Unknown where it
// does not tell. Finding the cgroup costs more than asking it.
func (h Host) Kills() func() (own, machine int64) {
	place, err := h.own()
	return func() (own, machine int64) {
		own = Unknown
		if err == nil {
			own = place.killed()
		}
		return own, h.killed()
	}
}

// killed is the machine's counter.
func (h Host) killed() int64 {
	if fields, err := readFields(filepath.Join(h.Root, "/proc/vmstat")); err == nil {
		if n, ok := fields["oom_kill"]; ok {
			return n
		}
	}
	return Unknown
}

// readFields reads the kernel's lines of a name and a number.
func readFields(name string) (map[string]int64, error) {
	data, err := os.ReadFile(name)
	if err != nil {
		return nil, err
	}
	fields := map[string]int64{}
	for line := range strings.Lines(string(data)) {
		words := strings.Fields(line)
		if len(words) < 2 {
			continue
		}
		if n, err := strconv.ParseInt(words[1], 10, 64); err == nil {
			fields[words[0]] = n
		}
	}
	return fields, nil
}

// readNumber reads a file that holds one number; otherwise where it does not,
// as the "max" of v2.
func readNumber(name string, otherwise int64) int64 {
	data, err := os.ReadFile(name)
	if err != nil {
		return otherwise
	}
	n, err := strconv.ParseInt(strings.TrimSpace(string(data)), 10, 64)
	if err != nil {
		return otherwise
	}
	return n
}
