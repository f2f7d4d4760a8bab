//go:build !unix

package main

// inForeground reports whether a Ctrl-C reaches pytest by itself: on Windows it
// goes to every process of the console.
func inForeground() bool { return true }
