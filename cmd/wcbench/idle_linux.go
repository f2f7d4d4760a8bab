package main

import (
	"bufio"
	"io"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// userHZ is the unit of /proc/stat (proc_stat(5)): USER_HZ is 100 on all
// architectures that Go has.
const userHZ = 100

// idleTime returns how long the cores that this process may use have been idle, in
// sum, and how many those are; 0 where the system does not tell.
func idleTime() (idle time.Duration, cores int) {
	var allowed unix.CPUSet
	if unix.SchedGetaffinity(0, &allowed) != nil {
		return 0, 0
	}
	f, err := os.Open("/proc/stat")
	if err != nil {
		return 0, 0
	}
	defer f.Close()
	return readIdle(f, allowed.IsSet)
}

// readIdle sums up what the allowed cores have been idle for.
func readIdle(stat io.Reader, allowed func(core int) bool) (idle time.Duration, cores int) {
	for lines := bufio.NewScanner(stat); lines.Scan(); {
		// cpu1 USER NICE SYSTEM IDLE IOWAIT ...
		words := strings.Fields(lines.Text())
		if len(words) < 6 {
			continue
		}
		number, found := strings.CutPrefix(words[0], "cpu")
		core, err := strconv.Atoi(number)
		if !found || err != nil || !allowed(core) {
			continue
		}
		for _, word := range words[4:6] {
			ticks, err := strconv.ParseInt(word, 10, 64)
			if err != nil {
				return 0, 0
			}
			idle += time.Duration(ticks) * time.Second / userHZ
		}
		cores++
	}
	return idle, cores
}
