//go:build !unix

package main

import (
	"os"
	"syscall"
)

// endingSignals are those that end a run in good order.
func endingSignals() []os.Signal { return []os.Signal{os.Interrupt, syscall.SIGTERM} }

// inForeground reports whether a Ctrl-C reaches pytest by itself: on Windows it
// goes to every process of the console.
func inForeground() bool { return true }
