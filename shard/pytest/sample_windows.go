package pytest

import (
	"time"
	"unsafe"

	"golang.org/x/sys/windows"
)

// slowest is how often this system is looked at most.
const slowest = time.Second / 2

var getProcessMemoryInfo = windows.NewLazySystemDLL("psapi.dll").NewProc("GetProcessMemoryInfo")

// processMemoryCounters is PROCESS_MEMORY_COUNTERS.
type processMemoryCounters struct {
	size, pageFaults                 uint32
	peakWorkingSet, workingSet       uintptr
	peakPagedPool, pagedPool         uintptr
	peakNonPagedPool, nonPagedPool   uintptr
	pagefileUsage, peakPagefileUsage uintptr
}

// held returns what the processes hold that are there: their working sets.
func (*processes) held(_ time.Time, pids map[string]int) map[string]processMemory {
	snapshot, err := windows.CreateToolhelp32Snapshot(windows.TH32CS_SNAPPROCESS, 0)
	if err != nil {
		return nil
	}
	defer windows.CloseHandle(snapshot)
	var entries []entry
	process := windows.ProcessEntry32{}
	process.Size = uint32(unsafe.Sizeof(process))
	for err = windows.Process32First(snapshot, &process); err == nil; err = windows.Process32Next(snapshot, &process) {
		entries = append(entries, entry{pid: int(process.ProcessID), parent: int(process.ParentProcessID)})
	}
	ours := map[int]bool{}
	for _, pid := range pids {
		ours[pid] = true
	}
	for changed := true; changed; {
		changed = false
		for i, e := range entries {
			if e.resident == 0 && (ours[e.pid] || ours[e.parent]) {
				entries[i].resident = max(1, workingSet(uint32(e.pid)))
				ours[e.pid], changed = true, true
			}
		}
	}
	return treeUsage(pids, entries)
}

func workingSet(pid uint32) int64 {
	process, err := windows.OpenProcess(windows.PROCESS_QUERY_LIMITED_INFORMATION, false, pid)
	if err != nil {
		return 0
	}
	defer windows.CloseHandle(process)
	counters := processMemoryCounters{}
	counters.size = uint32(unsafe.Sizeof(counters))
	if ok, _, _ := getProcessMemoryInfo.Call(uintptr(process), uintptr(unsafe.Pointer(&counters)), uintptr(counters.size)); ok == 0 {
		return 0
	}
	return int64(counters.workingSet)
}
