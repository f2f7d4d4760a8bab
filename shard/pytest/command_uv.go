package pytest

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/term"
)

// interrupted returns the process that a SIGINT for pytest goes to: the one
// that the command started, or the one below it for uv on a terminal. There uv
// passes no SIGINT on, since it takes each for a Ctrl-C, which the terminal
// sends to all; elsewhere it does.
func (c Command) interrupted(process *os.Process, stdin io.Reader) *os.Process {
	file, ok := stdin.(*os.File)
	uv := slices.ContainsFunc(c.Argv, func(word string) bool { return filepath.Base(word) == "uv" })
	if !uv || !ok || !term.IsTerminal(int(file.Fd())) {
		return process
	}
	for _, pid := range childrenOf(process.Pid) {
		if child, err := os.FindProcess(pid); err == nil {
			return child
		}
	}
	return process
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
