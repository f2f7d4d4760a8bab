//go:build !linux

package main

import "time"

// idleTime says that the system does not tell.
func idleTime() (idle time.Duration, cores int) { return 0, 0 }
