package main

import (
	"errors"
	"os/exec"
	"strings"
	"testing"
	"time"
)

func TestPacer(t *testing.T) {
	python, err := exec.LookPath("python3")
	if err != nil {
		t.Skip("no python3")
	}
	p, err := startPacer(t.Context(), python)
	if err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	last, err := p.since(began)
	if err != nil || last <= 0 || last > 1 {
		t.Errorf("the last beat took %v s, %v", last, err)
	}
	for deadline := began.Add(time.Minute); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		p.mutex.Lock()
		n := len(p.beats)
		p.mutex.Unlock()
		if n > 2 {
			break
		}
	}
	mean, err := p.since(began)
	if err != nil || mean <= 0 || mean > 1 || mean == last {
		t.Errorf("beats took %v s, %v, the first one %v", mean, err, last)
	}
	p.stop()
	if _, err := p.since(began); !errors.Is(err, errNoPace) {
		t.Errorf("since() = %v once it has ended", err)
	}
	// What is no Python ends at once, and says why.
	if cat, err := exec.LookPath("cat"); err == nil {
		if _, err := startPacer(t.Context(), cat); !errors.Is(err, errNoPace) || !strings.Contains(err.Error(), "option") {
			t.Errorf("startPacer(cat) = %v", err)
		}
	}
}

// The mean is of the beats since a time, and of the last one where there are none.
func TestPace(t *testing.T) {
	now := time.Now()
	p := &pacer{beats: []beat{{now, 9}, {now.Add(1), 1}, {now.Add(2), 3}}}
	for _, c := range []struct {
		began time.Time
		want  float64
	}{{now, 2}, {now.Add(1), 3}, {now.Add(5), 3}, {now.Add(-1), 13.0 / 3}} {
		if got, err := p.since(c.began); err != nil || got != c.want {
			t.Errorf("since(%v) = %v, %v, want %v", c.began.Sub(now), got, err, c.want)
		}
	}
	p = nil
	if got, err := p.since(now); got != 0 || err != nil {
		t.Errorf("without a pacer: %v, %v", got, err)
	}
	for _, c := range []struct{ beat, than, want float64 }{{3, 2, 1.5}, {0, 2, 1}, {2, 0, 1}} {
		if got := slower(c.beat, c.than); got != c.want {
			t.Errorf("slower(%v, %v) = %v, want %v", c.beat, c.than, got, c.want)
		}
	}
}
