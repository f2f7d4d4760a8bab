package procfs

import (
	"time"

	"golang.org/x/sys/unix"
)

// ThreadTime returns the CPU time of this thread, 0 where that is not told. Wall
// time would count what others take on a busy machine, and looks would become
// rare when they matter; getrusage counts what is below a tick of the kernel's
// clock by chance.
func ThreadTime() time.Duration {
	var t unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &t); err != nil {
		return 0
	}
	return time.Duration(t.Nano())
}

// read goes by the system's calls: what package os does for files that may be
// waited for takes longer than the file.
func read(buffer []byte, path string) []byte {
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil
	}
	n, _ := unix.Read(fd, buffer)
	_ = unix.Close(fd)
	return buffer[:max(0, n)]
}

// names lists a folder, as far as it is there.
func names(dir string) []string {
	fd, err := unix.Open(dir, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil
	}
	defer unix.Close(fd)
	var names []string
	var buffer [4096]byte
	for {
		n, err := unix.ReadDirent(fd, buffer[:])
		if n <= 0 || err != nil {
			return names
		}
		_, _, names = unix.ParseDirent(buffer[:n], -1, names)
	}
}
