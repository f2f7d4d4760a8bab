package pytest

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"time"

	"github.com/wcshard/wcshard/shard/pytest/procfs"
)

const (
	sampleEvery = 100 * time.Millisecond
	calmEvery   = 250 * time.Millisecond // while no test has started a process and memory stays: tests measure their own, but for one that dies
	lineEvery   = time.Second / 2        // between two lines, unless memory moves by sampleJump
	syncEvery   = 5 * time.Second
	sampleJump  = 64 << 20 // bytes
	sampleNoise = 1 << 20
)

// What looking may cost in CPU time: with the watch for kills less than 1 % of a
// core from a minute on. Each has its own, so that a look at gigabytes of shared
// memory does not end the quick ones.
var (
	sampleCost = credit{left: 15 * time.Millisecond, most: 100 * time.Millisecond, every: 500}
	shareCost  = credit{left: 35 * time.Millisecond, most: 200 * time.Millisecond, every: 600} // it takes some 25 µs a MiB
)

// credit is CPU time that may be spent: what there is at first, and one part in
// so many of the time that goes by, saved up to a limit. So a costly sample now
// and then delays nothing.
type credit struct {
	left, most time.Duration
	every      time.Duration // one of so many
	at         time.Time     // when left was reckoned
}

func (c *credit) earn(now time.Time) {
	if !c.at.IsZero() {
		c.left = min(c.left+now.Sub(c.at)/c.every, c.most)
	}
	c.at = now
}

func (c *credit) spend(took time.Duration) { c.left -= took }

// wait returns how long it takes until what was spent too much is earned.
func (c *credit) wait() time.Duration { return max(0, -c.left) * c.every }

// processMemory is what a process holds, in bytes.
type processMemory struct {
	resident int64
	children int64 // of all its descendants, without what they share with it
}

// sampler looks from time to time what the processes of a session hold, and
// appends it to the results as it finds it, so that it is there when one is
// killed. It runs in wcshard's own process, which is small and runs no test.
type sampler struct {
	dir     string // where the plugin leaves the IDs of its processes
	out     *os.File
	began   time.Time
	pids    map[string]int // by worker
	look    processes
	written map[string]processMemory // the last line
	line    time.Time                // when that was
	synced  time.Time
	cost    credit
	last    map[string]processMemory // at the last look
	moving  bool                     // memory did, between the last two looks
	started bool                     // some test has started a process
}

// startSampling samples until stop is called. What cannot be looked at is left
// out: samples are help, no result.
//
// On Windows two processes that append to one file tear each other's lines, so
// there the samples come to the results when pytest has ended.
func startSampling(dir, results string) (stop func()) {
	return sampling(dir, results, runtime.GOOS == "windows")
}

func sampling(dir, results string, apart bool) (stop func()) {
	place, flags := results, os.O_RDWR|os.O_APPEND
	if apart {
		place, flags = filepath.Join(dir, "samples"), flags|os.O_CREATE
	}
	out, err := os.OpenFile(place, flags, 0o600)
	if err != nil {
		return func() {} // the plugin says why it cannot write there
	}
	now := time.Now()
	s := &sampler{dir: dir, out: out, began: now, synced: now, pids: map[string]int{}, cost: sampleCost, look: newProcesses()}
	quit, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		s.run(quit)
	}()
	return func() {
		close(quit)
		<-done
		_ = out.Close()
		if apart {
			_ = appendSamples(results, place)
		}
	}
}

// appendSamples adds a file of samples to the results, unless those end in the
// middle of a line.
func appendSamples(results, samples string) error {
	lines, err := os.ReadFile(samples)
	if err != nil {
		return err
	}
	out, err := os.OpenFile(results, os.O_RDWR|os.O_APPEND, 0)
	if err != nil {
		return err
	}
	defer out.Close()
	info, err := out.Stat()
	if err != nil {
		return err
	}
	end := []byte{'\n'}
	if info.Size() > 0 {
		if _, err := out.ReadAt(end, info.Size()-1); err != nil {
			return err
		}
	}
	if end[0] != '\n' {
		return nil
	}
	if _, err := out.Write(lines); err != nil {
		return err
	}
	return out.Sync()
}

func (s *sampler) run(quit <-chan struct{}) {
	runtime.LockOSThread() // whose CPU time is that of the sampling
	defer runtime.UnlockOSThread()
	timer := time.NewTimer(sampleEvery)
	defer timer.Stop()
	for {
		select {
		case <-quit:
			return
		case <-timer.C:
		}
		now, before := time.Now(), procfs.ThreadTime()
		s.sample(now)
		s.cost.earn(now)
		s.cost.spend(procfs.ThreadTime() - before - s.look.spent)
		timer.Reset(max(s.every(), slowest, s.cost.wait()))
	}
}

func (s *sampler) every() time.Duration {
	if s.started || s.moving {
		return sampleEvery
	}
	return calmEvery
}

func (s *sampler) sample(now time.Time) {
	s.findProcesses()
	held := s.look.held(now, s.pids)
	s.moving = false
	for worker, m := range held {
		s.started = s.started || m.children > 0
		s.moving = s.moving || abs(m.resident-s.last[worker].resident) >= sampleJump/4
	}
	s.last = held
	if !s.tells(now, held) {
		return
	}
	line, err := sampleLine(now.Sub(s.began), held)
	if err != nil {
		return
	}
	if n, err := s.out.Write(line); err != nil {
		s.takeBack(line[:n])
		return
	}
	s.written, s.line = held, now
	if now.Sub(s.synced) >= syncEvery {
		_ = s.out.Sync() // some systems cannot
		s.synced = now
	}
}

// takeBack removes the first part of a line, which is all that a full disk had room
// for: behind it the next line of a test would be lost as well.
func (s *sampler) takeBack(part []byte) {
	info, err := s.out.Stat()
	if err != nil || len(part) == 0 {
		return
	}
	end, at := make([]byte, len(part)), info.Size()-int64(len(part))
	if _, err := s.out.ReadAt(end, at); err == nil && bytes.Equal(end, part) {
		_ = s.out.Truncate(at)
	}
}

// findProcesses reads the IDs that the plugin has left. A worker has a new name
// when it is replaced.
func (s *sampler) findProcesses() {
	entries, err := os.ReadDir(s.dir)
	if err != nil {
		return
	}
	for _, entry := range entries {
		worker, found := strings.CutPrefix(entry.Name(), pidPrefix)
		if _, known := s.pids[worker]; !found || known {
			continue
		}
		text, err := os.ReadFile(filepath.Join(s.dir, entry.Name()))
		if pid, err2 := strconv.Atoi(string(text)); errors.Join(err, err2) == nil {
			s.pids[worker] = pid
		}
	}
}

// pidPrefix begins the names of the files with process IDs.
const pidPrefix = "pid-"

// tells reports whether a sample says something new.
func (s *sampler) tells(now time.Time, held map[string]processMemory) bool {
	least := int64(sampleJump)
	if now.Sub(s.line) >= lineEvery {
		least = sampleNoise
	}
	for worker, m := range held {
		before, known := s.written[worker]
		// Children come and go with tests: whose they are must stay clear.
		if !known || abs(m.resident-before.resident) >= least || abs(m.children-before.children) >= sampleNoise {
			return true
		}
	}
	return false
}

func abs(n int64) int64 { return max(n, -n) }

func sampleLine(at time.Duration, held map[string]processMemory) ([]byte, error) {
	workers := map[string][2]int64{}
	for worker, m := range held {
		workers[worker] = [2]int64{m.resident, m.children}
	}
	text, err := json.Marshal(workers)
	if err != nil {
		return nil, fmt.Errorf("writing a sample of memory: %w", err)
	}
	var line bytes.Buffer
	fmt.Fprintf(&line, `{"t":"mem","at_us":%d,"workers":%s}`+"\n", max(0, at.Microseconds()), text)
	return line.Bytes(), nil
}
