package pytest

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// A stopping is the end of a pytest that is to stop.
type stopping struct {
	pytest *os.Process // nil: not asked to, or not known apart from what was started
}

// interrupt asks pytest to stop as Ctrl-C does. What was started may be something that
// calls pytest, and may pass nothing on: a shell script waits for what it calls, and uv
// on a terminal takes each SIGINT for a Ctrl-C, which the terminal sends to all.
func (s *stopping) interrupt(p *plugin, started *os.Process) error {
	process := started
	if pid := p.signedIn(); pid != started.Pid && descends(pid, started.Pid) {
		if found, err := os.FindProcess(pid); err == nil {
			s.pytest, process = found, found
		}
	}
	if err := process.Signal(os.Interrupt); err != nil {
		return started.Kill() // as on Windows, which cannot interrupt
	}
	return nil
}

// end ends pytest where what called it did not end by itself, and was killed: it would
// go on without.
func (s *stopping) end(state *os.ProcessState) {
	if s.pytest != nil && state != nil && !state.Exited() {
		_ = s.pytest.Kill()
	}
}

// signedIn returns the process that is pytest, as the plugin says; 0 where it is not
// there yet.
func (p *plugin) signedIn() int {
	text, _ := os.ReadFile(filepath.Join(p.dir, "pid-main"))
	pid, _ := strconv.Atoi(strings.TrimSpace(string(text)))
	return pid
}

// furthest is how many processes there may be from what was started to pytest.
const furthest = 8

// descends reports whether a process was started by another one or by those that it has
// started.
func descends(pid, from int) bool {
	for level, depth := []int{from}, 0; pid > 0 && len(level) > 0 && depth < furthest; depth++ {
		var next []int
		for _, parent := range level {
			next = append(next, childrenOf(parent)...)
		}
		if slices.Contains(next, pid) {
			return true
		}
		level = next
	}
	return false
}

// childrenOf returns the processes that one has started; none where the system
// does not tell.
func childrenOf(pid int) []int {
	var text []byte
	threads, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	for _, name := range threads {
		children, _ := os.ReadFile(name) // a thread may have ended
		text = append(text, children...)
	}
	if len(threads) == 0 {
		text, _ = exec.Command("pgrep", "-P", strconv.Itoa(pid)).Output()
	}
	var all []int
	for _, word := range strings.Fields(string(text)) {
		if child, err := strconv.Atoi(word); err == nil {
			all = append(all, child)
		}
	}
	return all
}
