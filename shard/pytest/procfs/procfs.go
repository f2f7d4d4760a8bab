// Package procfs reads what Linux's /proc tells of processes, at so little cost
// that it can be done many times a second. Elsewhere it finds nothing.
package procfs

import (
	"bytes"
	"os"
	"strconv"
)

var pageSize = int64(os.Getpagesize())

// Children returns the processes that a process has started, by the lists that
// each of its threads has of them.
func Children(pid int) []int {
	var children []int
	var buffer [4096]byte
	tasks := path(pid, "task/")
	for _, thread := range names(tasks) {
		for _, field := range bytes.Fields(read(buffer[:], tasks+thread+"/children")) {
			if child, err := strconv.Atoi(string(field)); err == nil {
				children = append(children, child)
			}
		}
	}
	return children
}

// A Usage is the resident memory of a process, and what of it belongs to files,
// in bytes.
type Usage struct{ Resident, Files int64 }

// UsageOf returns what a process holds: nothing where it is gone, or is dead and
// waits for its parent.
func UsageOf(pid int) Usage {
	var buffer [128]byte
	fields := bytes.Fields(Read(buffer[:], pid, "statm"))
	if len(fields) < 3 {
		return Usage{}
	}
	resident, _ := strconv.ParseInt(string(fields[1]), 10, 64)
	files, _ := strconv.ParseInt(string(fields[2]), 10, 64)
	return Usage{resident * pageSize, files * pageSize}
}

// Stat returns the fields of a process's stat from the third one of proc(5) on,
// its state; none where it is gone.
func Stat(pid int) [][]byte {
	var buffer [1024]byte
	line := Read(buffer[:], pid, "stat")
	// The second field is a name in brackets that may hold anything.
	return bytes.Fields(line[bytes.LastIndexByte(line, ')')+1:])
}

// Read reads a file of a process in one go, as far as it fits into the buffer;
// nothing where it is not there.
func Read(buffer []byte, pid int, name string) []byte { return read(buffer, path(pid, name)) }

func path(pid int, name string) string { return "/proc/" + strconv.Itoa(pid) + "/" + name }
