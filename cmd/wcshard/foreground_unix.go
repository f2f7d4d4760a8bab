//go:build unix

package main

import (
	"os"
	"os/signal"

	"golang.org/x/sys/unix"
)

// endingSignals are those that end a run in good order. A terminal that is
// closed sends SIGHUP, unless nohup keeps it away.
func endingSignals() []os.Signal {
	all := []os.Signal{os.Interrupt, unix.SIGTERM}
	if !signal.Ignored(unix.SIGHUP) {
		all = append(all, unix.SIGHUP)
	}
	return all
}

// inForeground reports whether a Ctrl-C on our terminal reaches our whole
// process group, and so pytest as well: whether we are the terminal's
// foreground group, wherever standard input comes from.
func inForeground() bool {
	terminal, err := os.Open("/dev/tty")
	if err != nil {
		return false
	}
	defer terminal.Close()
	group, err := unix.IoctlGetInt(int(terminal.Fd()), unix.TIOCGPGRP)
	return err == nil && group == unix.Getpgrp()
}
