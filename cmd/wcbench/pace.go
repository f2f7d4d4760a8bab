package main

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"strconv"
	"sync"
	"time"
)

//go:embed pace.py
var paceSource string

// A pacer says how fast the machine is: on one that others share, the same work
// takes now more CPU time and now less, and so do the jobs of a comparison that
// goes on for an hour. A process that runs beside them does a little work over
// and over; what that takes says how long a job would take at another pace.
//
// Nine runs of the same tests of statsmodels took 6.9 to 9.7 CPU seconds on such a
// machine, a coefficient of variation of 12 %; at one pace it was 3 %.
type pacer struct {
	cancel context.CancelFunc
	wait   func()

	mutex sync.Mutex
	beats []beat
	ended bool
}

// A beat is what the work took once.
type beat struct {
	at      time.Time
	seconds float64 // of CPU
}

// startPacer starts the process with a Python, on the cores that wcbench may use,
// and waits for its first beat.
func startPacer(parent context.Context, python string) (*pacer, error) {
	ctx, cancel := context.WithCancel(parent)
	cmd := exec.CommandContext(ctx, python, "-c", paceSource)
	var said bytes.Buffer
	cmd.Stderr = &said
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		cancel()
		return nil, fmt.Errorf("starting what says how fast the machine is: %w", err)
	}
	p := &pacer{cancel: cancel}
	first, ended := make(chan struct{}), make(chan struct{})
	go func() {
		p.listen(out, first)
		close(ended)
	}()
	p.wait = func() {
		<-ended
		_ = cmd.Wait() // it was killed
	}
	select {
	case <-first:
		return p, nil
	case <-ended:
		p.stop()
		return nil, cmp.Or(parent.Err(), fmt.Errorf("%w: %s", errNoPace, bytes.TrimSpace(said.Bytes())))
	}
}

// stop ends the process, if there is one.
func (p *pacer) stop() {
	if p != nil {
		p.cancel()
		p.wait()
	}
}

var errNoPace = errors.New("what says how fast the machine is has ended")

// startPacer starts a pacer for the jobs of a suite, none for a made-up one: that
// goes by a clock, and takes the same at any pace.
func (s *benchSuite) startPacer(ctx context.Context) (*pacer, error) {
	if s.spec.clock != "" {
		return nil, nil
	}
	return startPacer(ctx, s.python)
}

// listen keeps what the process says, and closes first when that begins.
func (p *pacer) listen(out io.Reader, first chan<- struct{}) {
	for lines := bufio.NewScanner(out); lines.Scan(); {
		seconds, err := strconv.ParseFloat(lines.Text(), 64)
		if err != nil {
			break
		}
		p.mutex.Lock()
		p.beats = append(p.beats, beat{time.Now(), seconds})
		if len(p.beats) == 1 {
			close(first)
		}
		p.mutex.Unlock()
	}
	p.mutex.Lock()
	p.ended = true
	p.mutex.Unlock()
}

// since returns the mean CPU seconds of a beat from a time on, of the last one
// where there was none since. It is 0 where nobody listens.
func (p *pacer) since(began time.Time) (seconds float64, err error) {
	if p == nil {
		return 0, nil
	}
	p.mutex.Lock()
	defer p.mutex.Unlock()
	if p.ended {
		return 0, errNoPace
	}
	n := 0
	for i := len(p.beats) - 1; i >= 0 && (n == 0 || p.beats[i].at.After(began)); i-- {
		seconds += p.beats[i].seconds
		n++
	}
	return seconds / float64(n), nil
}

// slower returns how many times slower one pace is than another one; 1 where
// one of them is not known.
func slower(beat, than float64) float64 {
	if beat <= 0 || than <= 0 {
		return 1
	}
	return beat / than
}
