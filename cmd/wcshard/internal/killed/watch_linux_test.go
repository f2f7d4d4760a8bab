package killed

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"sync/atomic"
	"testing"
	"time"
)

// family starts a process with a child of its own, and returns their IDs when
// the child holds so many MiB.
func family(t testing.TB, held int) (parent, child int) {
	python, err := exec.LookPath("python3")
	if err != nil {
		t.Skip("allocates with python3: ", err)
	}
	cmd := exec.Command(python, "-c", fmt.Sprintf(`import subprocess, sys
child = subprocess.Popen([sys.executable, "-c", "held = b'x' * (%d << 20); print(flush=True); import time; time.sleep(60)"], stdout=subprocess.PIPE)
child.stdout.readline()
print(child.pid, flush=True)
sys.stdin.read()
child.kill()
child.wait()`, held))
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		in.Close()
		io.Copy(io.Discard, out)
		cmd.Wait()
	})
	if _, err := fmt.Fscanln(bufio.NewReader(out), &child); err != nil {
		t.Fatal(err)
	}
	return cmd.Process.Pid, child
}

// TestWatch: at a kill, it tells what each worker held with its children.
func TestWatch(t *testing.T) {
	var kills atomic.Int64
	const limit = 1 << 30 // so far away that looks are calm, and not calmer
	w := Start(os.Getpid(), limit, kills.Load)
	parent, child := family(t, 64)
	time.Sleep(3 * calm)
	kills.Add(1)
	time.Sleep(3 * calm)
	all, peak := w.Stop()
	if len(all) != 1 {
		t.Fatalf("%d snapshots of one kill", len(all))
	}
	if peak < 64*mib {
		t.Errorf("the peak is %d bytes, want at least 64 MiB", peak)
	}
	if _, ok := Before(all, 1); ok {
		t.Error("a process that is not ours was seen")
	}
	look, ok := Before(all, child)
	if !ok {
		t.Fatal("the child was not seen")
	}
	held := look.Held([]int{parent})
	if h := held[parent]; h.All < 64*mib || h.Own >= 64*mib || h.Own == 0 {
		t.Errorf("the parent holds %+v, want 64 MiB with its child, and less itself", h)
	}
	held = look.Held([]int{child})
	if h := held[child]; h.Own < 64*mib || h.All != h.Own || held[0].All == 0 || held[0].All >= 64*mib {
		t.Errorf("the child holds %+v and the others %+v", h, held[0])
	}
}

// BenchmarkLook is one look at two processes; at ten looks a second, 1 ms is
// a hundredth of a core.
func BenchmarkLook(b *testing.B) {
	family(b, 1)
	w := &Watch{root: os.Getpid()}
	for b.Loop() {
		if len(w.look()) < 2 {
			b.Fatal("it does not see two processes")
		}
	}
}

// TestEnd: what was seen is killed, and another process of the same ID is not.
func TestEnd(t *testing.T) {
	parent, child := family(t, 1)
	born := map[int]string{}
	for _, pid := range []int{parent, child} {
		start, alive := startOf(pid)
		if !alive {
			t.Fatal("it is not seen to live")
		}
		born[pid] = start
	}
	if n := End(map[int]string{child: "1"}, time.Second); n != 0 || !lives(child, born[child]) {
		t.Errorf("%d killed that started at another time", n)
	}
	began := time.Now()
	if n := End(born, time.Minute); n != 2 || anyLives(born) || time.Since(began) > 30*time.Second {
		t.Errorf("%d killed of 2 in %s, still there: %v", n, time.Since(began), anyLives(born))
	}
}

// Looks are the rarer the further away the limit is.
func TestCalm(t *testing.T) {
	for _, test := range []struct {
		limit, held int64
		near        bool
		want        time.Duration
	}{
		{0, 5 << 30, false, calm},
		{16 << 30, 0, false, calmest},
		{16 << 30, 6 << 30, false, calmest},
		{16 << 30, 7 << 30, false, time.Second / 5},
		{16 << 30, 8 << 30, false, calm},
		{16 << 30, 9 << 30, true, calm},
		{512 << 20, 1 << 20, false, calm},
	} {
		w := &Watch{limit: test.limit, cores: 2}
		if near, got := w.near(test.held), w.pause(test.held); near != test.near || got != test.want {
			t.Errorf("%d of %d: near %v, looks after %v, want %v and %v", test.held, test.limit, near, got, test.near, test.want)
		}
	}
}
