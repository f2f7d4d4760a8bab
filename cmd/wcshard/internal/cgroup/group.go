package cgroup

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"time"
)

// A Group is a cgroup of our own that holds a command within a limit.
type Group struct {
	Limit int64  // bytes, of memory and swap together
	How   string // how it is made, for messages

	place  place    // where its files are; of a scope, once it runs
	prefix []string // what stands before a command to start it in here
	note   string   // the file in which a scope's command says where it is
	last   Usage    // what was last seen of a scope, which vanishes with its command
	past   Usage    // of all scopes before that one
	host   Host     // a test's
	up     string   // the file that moves a process to our own cgroup
}

// Usage is what a group has used, in all commands that ran in it.
type Usage struct {
	Peak  int64 // most bytes at once, page cache included; Unknown where the kernel does not tell
	Kills int64 // processes that the kernel has killed for want of memory
	Gone  bool  // the group went with its command, so the last kills may not have been seen
}

// enter starts a command in a cgroup: the shell moves itself there and then
// becomes the command, so process ID and signals stay the command's own.
const enter = `echo 0 > "$0" && exec "$@"`

// New makes a cgroup with a limit below our own. Where its files are not ours
// to write, systemd is asked for a scope. The error says what was tried.
func (h Host) New(limit int64) (*Group, error) {
	if runtime.GOOS != "linux" {
		return nil, errors.New("only Linux has memory cgroups")
	}
	own, err := h.own()
	if err != nil {
		return nil, err
	}
	// Of v2, a cgroup that has processes may not have limited ones below it,
	// so the place is the nearest above that hands the controller down.
	tried := []error{}
	for _, parent := range own.upwards() {
		if own.v2 && !handsDown(parent) {
			continue
		}
		sweep(parent)
		group, err := makeBelow(parent, limit)
		if err == nil {
			group.up = own.file("cgroup.procs")
			return group, nil
		}
		tried = append(tried, err)
		if !own.v2 {
			break
		}
	}
	group, err := newScope(limit)
	if err == nil {
		return group, nil
	}
	return nil, errors.Join(append(tried, err)...)
}

// handsDown reports whether a v2 cgroup has the memory controller for those
// below it.
func handsDown(p place) bool {
	data, _ := os.ReadFile(p.file("cgroup.subtree_control"))
	for _, controller := range strings.Fields(string(data)) {
		if controller == "memory" {
			return true
		}
	}
	return false
}

// sweep removes the cgroups of earlier calls that had no time to do it
// themselves, such as those that were killed. One with processes in it stays.
func sweep(parent place) {
	all, _ := filepath.Glob(filepath.Join(parent.dir(), prefix+"[0-9]*-*"))
	for _, dir := range all {
		text, _, _ := strings.Cut(strings.TrimPrefix(filepath.Base(dir), prefix), "-")
		pid, err := strconv.Atoi(text)
		if err != nil {
			continue
		}
		if _, err := os.Stat(filepath.Join("/proc", text)); errors.Is(err, os.ErrNotExist) && pid != os.Getpid() {
			_ = os.Remove(dir)
		}
	}
}

// prefix begins the names of our cgroups; the process ID of their maker
// follows.
const prefix = "wcshard-"

// makeBelow makes a cgroup below parent and tries whether a command can start
// in it.
func makeBelow(parent place, limit int64) (*Group, error) {
	group := &Group{Limit: limit, How: "cgroup v1"}
	if parent.v2 {
		group.How = "cgroup v2"
	}
	dir, err := os.MkdirTemp(parent.dir(), fmt.Sprintf("%s%d-", prefix, os.Getpid()))
	if err != nil {
		return nil, fmt.Errorf("making a cgroup: %w", err)
	}
	group.place = place{mount: parent.mount, path: filepath.Join(parent.path, filepath.Base(dir)), v2: parent.v2}
	group.prefix = []string{"/bin/sh", "-c", enter, group.place.file("cgroup.procs")}
	if err := group.limit(); err != nil {
		return nil, errors.Join(err, os.Remove(dir))
	}
	argv := group.Command([]string{"true"})
	if out, err := exec.Command(argv[0], argv[1:]...).CombinedOutput(); err != nil {
		return nil, errors.Join(fmt.Errorf("starting a command in %s: %w: %s", dir, err, strings.TrimSpace(string(out))), os.Remove(dir))
	}
	return group, nil
}

// limit writes the limit. Swap counts as memory: a suite that swaps would show
// nothing of what it does on a runner.
func (g *Group) limit() error {
	set := func(name string, value int64) error {
		if err := os.WriteFile(g.place.file(name), strconv.AppendInt(nil, value, 10), 0); err != nil {
			return fmt.Errorf("limiting a cgroup: %w", err)
		}
		return nil
	}
	memory, swap, most := "memory.limit_in_bytes", "memory.memsw.limit_in_bytes", g.Limit
	if g.place.v2 {
		memory, swap, most = "memory.max", "memory.swap.max", 0
	}
	if err := set(memory, g.Limit); err != nil {
		return err
	}
	// A kernel that does not count swap has no file for it.
	if err := set(swap, most); err != nil && !errors.Is(err, os.ErrNotExist) && !errors.Is(err, os.ErrPermission) {
		return err
	}
	return nil
}

// newScope has systemd hold a command in a scope of its own.
func newScope(limit int64) (*Group, error) {
	program, err := exec.LookPath("systemd-run")
	if err != nil {
		return nil, errors.New("there is no systemd-run")
	}
	file, err := os.CreateTemp("", "wcshard-scope-")
	if err != nil {
		return nil, err
	}
	if err := file.Close(); err != nil {
		return nil, err
	}
	group := &Group{Limit: limit, How: "systemd scope", note: file.Name()}
	scope := []string{program, "--scope", "--quiet", "--collect"}
	if os.Getuid() != 0 {
		scope = append(scope, "--user")
	}
	scope = append(scope, "-p", fmt.Sprintf("MemoryMax=%d", limit), "-p", "MemorySwapMax=0")
	// Else the first kill ends all of it; before systemd 253 it does not, and
	// scopes have no such property.
	policy := append(scope[:len(scope):len(scope)], "-p", "OOMPolicy=continue")
	if err = group.tryScope(policy); err != nil && group.tryScope(scope) != nil {
		return nil, errors.Join(err, os.Remove(group.note))
	}
	return group, os.Truncate(group.note, 0)
}

// tryScope has a command line stand before commands, if one starts with it.
func (g *Group) tryScope(scope []string) error {
	g.prefix = append(scope[:len(scope):len(scope)], "--", "/bin/sh", "-c", `cat /proc/self/cgroup > "$0" && exec "$@"`, g.note)
	argv := g.Command([]string{"true"})
	if out, err := exec.Command(argv[0], argv[1:]...).CombinedOutput(); err != nil {
		return fmt.Errorf("starting a systemd scope: %w: %s", err, strings.TrimSpace(string(out)))
	}
	return nil
}

// Command returns the command line that starts a command in the group. Its
// process stays the one that is started.
func (g *Group) Command(argv []string) []string {
	return append(g.prefix[:len(g.prefix):len(g.prefix)], argv...)
}

// Usage returns what the group has used so far.
func (g *Group) Usage() Usage {
	before := g.place
	gone := g.note != "" && !g.find()
	if !gone {
		if g.note != "" && g.place != before {
			g.past, g.last = g.past.and(g.last), Usage{}
		}
		usage := Usage{
			Peak:  readNumber(g.place.pick("memory.max_usage_in_bytes", "memory.peak"), Unknown),
			Kills: g.place.killed(),
		}
		if usage.Kills != Unknown {
			g.last = usage
		}
	}
	all := g.past.and(g.last)
	all.Gone = gone
	return all
}

// and is what two scopes after one another have used.
func (u Usage) and(v Usage) Usage {
	return Usage{Peak: max(u.Peak, v.Peak), Kills: u.Kills + v.Kills}
}

// find learns where a scope is, and reports whether it is still there.
func (g *Group) find() bool {
	text, err := os.ReadFile(g.note)
	if err != nil || len(text) == 0 {
		return false
	}
	path, v2, err := memoryPath(string(text))
	if err != nil {
		return false
	}
	found, err := g.host.locate(path, v2)
	if err != nil || found.path != filepath.Clean(path) {
		return false
	}
	g.place = found
	return true
}

// Kill ends all that runs in the group, waits until it is gone, or for
// patience, and returns how many processes there were.
func (g *Group) Kill(patience time.Duration) int {
	if g.note != "" && !g.find() {
		return 0
	}
	ended := map[string]bool{}
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		left, _ := os.ReadFile(g.place.file("cgroup.procs"))
		ids := strings.Fields(string(left))
		if len(ids) == 0 {
			break
		}
		for _, id := range ids {
			pid, err := strconv.Atoi(id)
			if err != nil || pid <= 1 || pid == os.Getpid() {
				continue // 0 is of another namespace
			}
			if process, err := os.FindProcess(pid); err == nil && process.Kill() == nil {
				ended[id] = true
			}
		}
	}
	return len(ended)
}

// Close removes the group. What still runs in it, such as a server that a test
// started, moves to our own cgroup and lives on. The one above would refuse it:
// of v2, a cgroup that has others below it may not have processes.
func (g *Group) Close() error {
	if g.note != "" {
		return os.Remove(g.note)
	}
	var err error
	for range 50 {
		left, _ := os.ReadFile(g.place.file("cgroup.procs"))
		for pid := range strings.Lines(string(left)) {
			_ = os.WriteFile(g.up, []byte(pid), 0) // it may have ended by now
		}
		if err = os.Remove(g.place.dir()); err == nil || errors.Is(err, os.ErrNotExist) {
			return nil
		}
		time.Sleep(20 * time.Millisecond)
	}
	return fmt.Errorf("removing a cgroup: %w", err)
}
