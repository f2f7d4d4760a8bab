package main

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/wcshard/wcshard/cmd/wcshard/internal/killed"
	"github.com/wcshard/wcshard/shard"
	"github.com/wcshard/wcshard/shard/pytest"
	"github.com/wcshard/wcshard/timing"
)

const exitKilled = 128 + 9 // SIGKILL, as the kernel ends what takes too much memory

// recovery goes on where the kernel killed a worker or all of pytest for lack
// of memory: what died runs again, alone, once, and then what was not reached,
// with fewer workers.
type recovery struct {
	*job
	session   session
	name      string           // the results file
	selection pytest.Selection // all of the session
	results   *timing.Results  // as read last
	deaths    int              // of them, judged already
	statuses  []int            // of the tries after the first
	tries     int              // so far, after the first
	before    int              // tests that had ended before the last try
	last      try
}

// recover sees a session to its end and returns the status that says how it
// went.
func (j *job) recover(ctx context.Context, s session, name string, selection pytest.Selection, first try) (int, error) {
	r := &recovery{job: j, session: s, name: name, selection: selection}
	status, err := r.run(ctx, first)
	if err == nil {
		r.timedOut(ctx)
	}
	return status, err
}

func (r *recovery) run(ctx context.Context, first try) (int, error) {
	j, s := r.job, r.session
	t, workers := first, s.run.Workers
	r.last = first
	for {
		if err := r.read(); err != nil {
			return 0, err
		}
		if errors.Is(context.Cause(ctx), errTimeLimit) {
			return t.status, nil // whatever died now, we ended it
		}
		blames := r.blames(t)
		for _, b := range blames {
			j.sys.say("%s", b)
		}
		if len(blames) == 0 || j.options.noRecover || j.stopped.Load() || ctx.Err() != nil {
			return r.status(t.status), nil
		}
		before := r.before
		if err := r.alone(ctx, blames); err != nil {
			return 0, err
		}
		rest := r.rest(t.status)
		if len(rest) == 0 || j.stopped.Load() || ctx.Err() != nil {
			return r.status(t.status), nil
		}
		if workers == 1 && len(r.results.Tests) == before {
			return r.status(t.status), nil // it dies before any test can end
		}
		workers = max(1, workers/2)
		j.sys.say("%s: going on with the other %s, %s", s.name, count(len(rest), "test"), count(workers, "worker"))
		var err error
		if t, err = r.again(ctx, rest, workers); err != nil {
			return 0, err
		}
	}
}

func (r *recovery) read() error {
	results, err := readResultsFile(r.sys, r.name)
	if err != nil {
		return fmt.Errorf("reading back the results of %s: %w", r.session.name, err)
	}
	r.results = results
	return nil
}

// blames says of each death of a try whether it was for lack of memory, and by
// whose doing. Other deaths it only names.
func (r *recovery) blames(t try) []killed.Blame {
	deaths := slices.Clone(r.results.Deaths[r.deaths:])
	r.deaths = len(r.results.Deaths)
	if t.status == exitKilled {
		deaths = append(deaths, timing.Death{Signal: 9, PID: mainProcess(r.results), Running: r.results.Running})
	}
	sigkills := 0
	for _, d := range deaths {
		if d.Signal == 9 || d.Signal == 0 {
			sigkills++
		}
	}
	limit, _ := r.memory()
	if t.peak == 0 { // the watch knows only Linux
		for _, m := range r.results.Memory {
			t.peak += m.Resident + m.Children
		}
	}
	var blames []killed.Blame
	for _, d := range deaths {
		scene := killed.Scene{Death: d, Limit: limit, Room: t.room, Count: t.counts, Held: r.held(t, d)}
		scene.Sure = t.counts.Sure(d.Signal, sigkills, limit > 0 && t.peak > limit/10*8)
		if scene.Sure == killed.No {
			r.sys.say("%s", r.otherDeath(d, t.counts))
			continue
		}
		blames = append(blames, killed.Judge(scene))
	}
	if n := max(t.counts.Own, 0) - int64(sigkills); n > 0 {
		r.sys.say("the kernel killed %s that tests had started, for lack of memory", count(int(n), "other process"))
	}
	return blames
}

// held is what each worker held at the last look before a death.
func (r *recovery) held(t try, d timing.Death) map[int]killed.Held {
	var workers []int
	for _, w := range r.results.Workers {
		if w.PID != 0 {
			workers = append(workers, w.PID)
		}
	}
	if look, ok := killed.Before(t.looks, d.PID); ok {
		return look.Held(workers)
	}
	return nil
}

// mainProcess is the process ID of pytest where it ran the tests itself, in the last try.
func mainProcess(results *timing.Results) int {
	for _, w := range slices.Backward(results.Workers) {
		if w.Worker == "main" {
			return w.PID
		}
	}
	return 0
}

// otherDeath tells a worker's death that had nothing to do with memory.
func (r *recovery) otherDeath(d timing.Death, counts killed.Counts) string {
	who, how := "worker "+d.Worker, "ended by itself"
	if d.Worker == "" {
		who = "pytest"
	}
	if d.Signal != 0 {
		how = fmt.Sprintf("was ended by signal %d", d.Signal)
	}
	for _, running := range d.Running {
		if d.Worker == "" || running.Worker == d.Worker {
			how += fmt.Sprintf(" while running %s", running.ID)
		}
	}
	switch {
	case d.Signal != 0 && d.Signal != 9, counts != killed.Counts{Own: killed.Unknown, Machine: killed.Unknown}:
		how += ": not for lack of memory, as far as the kernel tells"
	default:
		how += ": nothing here tells whether it was for lack of memory"
	}
	if d.Signal == 0 && r.options.testTimeout > 0 {
		how += fmt.Sprintf("; pytest-timeout may have ended it after %s", r.options.testTimeout)
	}
	return who + " " + how
}

// alone runs what was killed once more, each test in a session of its own.
func (r *recovery) alone(ctx context.Context, blames []killed.Blame) error {
	var victims []timing.KilledTest
	var lines []byte
	for _, b := range blames {
		for _, k := range b.Killed() {
			victims = append(victims, k)
			lines = append(lines, k.Line()...)
		}
	}
	if err := appendResults(r.name, lines); err != nil {
		return err
	}
	tried := map[timing.NodeID]int{}
	for _, k := range victims {
		if r.stopped.Load() || ctx.Err() != nil {
			return nil
		}
		// A rerun plugin may have run it again by itself, and then two tries of
		// one test may have been killed.
		finished := r.finished(k.ID)
		if finished+tried[k.ID] >= r.planned(k.ID) {
			continue
		}
		r.sys.say("%s: running %s again, alone", r.session.name, k.ID)
		t, err := r.again(ctx, []timing.NodeID{k.ID}, 1)
		if err != nil {
			return err
		}
		if err := r.read(); err != nil {
			return err
		}
		if r.finished(k.ID) > finished {
			continue
		}
		tried[k.ID]++
		if !r.stopped.Load() && ctx.Err() == nil {
			blames := r.blames(t)
			if len(blames) == 0 && t.status < 128 {
				r.sys.say("%s has no result when it runs alone: pytest ended with exit status %d", printable(string(k.ID)), t.status)
				continue
			}
			message := fmt.Sprintf("killed, and again when it ran alone (exit status %d)", t.status)
			for _, b := range blames {
				message = b.String()
				lines = nil
				for _, again := range b.Killed() {
					lines = append(lines, again.Line()...)
				}
				if err := appendResults(r.name, lines); err != nil {
					return err
				}
				r.sys.say("%s", message)
			}
			if err := appendResults(r.name, timing.CrashLine(k.ID, "main", message)); err != nil {
				return err
			}
		}
	}
	return r.read()
}

// finished counts the results of a test that lived to have one.
func (r *recovery) finished(id timing.NodeID) int {
	n := 0
	for i := range r.results.Tests {
		if t := &r.results.Tests[i]; t.ID == id && t.Outcome != timing.Crashed {
			n++
		}
	}
	return n
}

// planned counts the session's tests of this ID: namesakes share it.
func (r *recovery) planned(id timing.NodeID) int {
	n := 0
	for _, piece := range r.selection.Pieces {
		for _, test := range piece.Tests {
			if timing.NodeID(piece.File+test) == id {
				n++
			}
		}
	}
	return n
}

// again runs some of the session's tests.
func (r *recovery) again(ctx context.Context, tests []timing.NodeID, workers int) (try, error) {
	r.tries++
	// Where no victim's line was written, a line that the kill tore is there
	// still, and pytest would write on in the middle of it.
	if err := mendTail(r.name); err != nil {
		return try{}, fmt.Errorf("mending the results of %s: %w", r.session.name, err)
	}
	r.clear()
	r.before = len(r.results.Tests)
	t, err := r.try(ctx, r.session, call{
		results:   r.name,
		selection: narrow(r.selection, tests),
		workers:   workers,
		args:      r.plan.Collector.Args,
		extra:     r.options.args,
		again:     r.tries,
	})
	if err != nil {
		return t, &failure{status: exitUnavailable, err: fmt.Errorf("running %s again: %w", r.session.name, err)}
	}
	r.last = t
	r.statuses = append(r.statuses, t.status)
	return t, nil
}

// leaving is how long to wait for killed processes to be gone.
const leaving = 10 * time.Second

// clear ends what the last try has left running. Workers whose pytest was
// killed finish their tests first, with memory that is not there, and the next
// try would run the same tests beside them.
func (r *recovery) clear() {
	workers := map[int]string{}
	for _, w := range r.results.Workers {
		if start, seen := r.last.born[w.PID]; seen {
			workers[w.PID] = start
		}
	}
	n := killed.End(workers, leaving)
	if r.group != nil {
		n += r.group.Kill(leaving)
	}
	if n > 0 {
		r.sys.say("%s: ended %s that the last try had left", r.session.name, count(n, "process"))
	}
}

// rest is the tests that a try did not get to: where pytest died, or where
// xdist gave up after so many dead workers.
func (r *recovery) rest(status int) []timing.NodeID {
	given := pytest.UserOptions(r.options.args)
	if status != exitKilled && (given.MaxFail || given.Stepwise) {
		return nil // it was told to stop early
	}
	done := map[timing.NodeID]int{}
	for _, t := range r.results.Tests {
		done[t.ID]++
	}
	for _, id := range r.results.Missing {
		done[id]++
	}
	var rest []timing.NodeID
	for _, piece := range r.selection.Pieces {
		for _, test := range piece.Tests {
			id := timing.NodeID(piece.File + test)
			if done[id] > 0 {
				done[id]--
				continue
			}
			rest = append(rest, id)
		}
	}
	return rest
}

// status is what all tries together come to. pytest counts a dead worker as a
// failed test; what ran again makes up for it.
func (r *recovery) status(first int) int {
	if len(r.statuses) == 0 {
		return first
	}
	status := exitOK
	for _, s := range append(r.statuses, first) {
		if s != exitOK && s != exitTestsFailed && s != exitKilled {
			status = worse(status, s)
		}
	}
	if status != exitOK {
		return status
	}
	if slices.ContainsFunc(r.results.Tests, func(t timing.TestResult) bool { return t.Outcome.Bad() }) {
		return exitTestsFailed
	}
	if len(r.rest(exitKilled)) > 0 {
		return cmp.Or(first, exitTestsFailed)
	}
	if r.statuses[len(r.statuses)-1] == exitTestsFailed {
		return exitTestsFailed // no test's fault, such as too little coverage
	}
	return exitOK
}

// narrow keeps of a selection some tests; those beside them are elsewhere then.
// Namesakes go in the order of their turns.
func narrow(selection pytest.Selection, tests []timing.NodeID) pytest.Selection {
	keep := map[timing.NodeID]int{}
	files := map[string]bool{}
	for _, id := range tests {
		keep[id]++
		files[id.File()] = true
	}
	some := pytest.Selection{Turns: map[timing.NodeID][]int{}, Partial: true, Reduced: true, Gathered: selection.Gathered}
	for _, id := range selection.Elsewhere {
		if files[id.File()] {
			some.Elsewhere = append(some.Elsewhere, id)
		}
	}
	for id, turns := range selection.Turns {
		if n := keep[id]; n > 0 {
			some.Turns[id] = turns[max(0, len(turns)-n):]
		}
	}
	skip := map[timing.NodeID]int{} // of namesakes the first have run
	for _, piece := range selection.Pieces {
		for _, test := range piece.Tests {
			skip[timing.NodeID(piece.File+test)]++
		}
	}
	for id, n := range skip {
		skip[id] = n - keep[id]
	}
	for _, piece := range selection.Pieces {
		if !files[piece.File] {
			continue
		}
		part := shard.Piece{File: piece.File, Cut: piece.Cut}
		needs := piece.Needs
		for i, test := range piece.Tests {
			id := timing.NodeID(piece.File + test)
			if skip[id] > 0 {
				skip[id]--
				some.Elsewhere = append(some.Elsewhere, id)
				continue
			}
			part.Needs = appendNeed(part.Needs, len(part.Tests), &needs, i)
			part.Tests = append(part.Tests, test)
		}
		if len(part.Tests) > 0 {
			some.Pieces = append(some.Pieces, part)
		}
	}
	return some
}

// appendNeed adds what test i of a piece needs as that of test number at. The piece's
// needs are ascending; those of tests up to i are taken off.
func appendNeed(to []shard.TestNeed, at int, needs *[]shard.TestNeed, i int) []shard.TestNeed {
	for len(*needs) > 0 && (*needs)[0].Test <= i {
		if need := (*needs)[0]; need.Test == i {
			need.Test = at
			to = append(to, need)
		}
		*needs = (*needs)[1:]
	}
	return to
}

// appendResults writes lines to a results file. Where a kill has torn its last
// line, that goes first: it says nothing, and in the middle it would be an
// error.
func appendResults(name string, lines []byte) error {
	if len(lines) == 0 {
		return nil
	}
	if err := mendTail(name); err != nil {
		return fmt.Errorf("writing results: %w", err)
	}
	file, err := os.OpenFile(name, os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		return fmt.Errorf("writing results: %w", err)
	}
	_, err = file.Write(lines)
	if err = errors.Join(err, file.Sync(), file.Close()); err != nil {
		return fmt.Errorf("writing results: %w", err)
	}
	return nil
}

// mendTail cuts a file after its last whole line.
func mendTail(name string) error {
	data, err := os.ReadFile(name)
	if err != nil {
		return err
	}
	whole := bytes.LastIndexByte(data, '\n') + 1
	if whole == len(data) {
		return nil
	}
	return os.Truncate(name, int64(whole))
}

// timedOut says what ran when the time limit came, in the results as well.
func (r *recovery) timedOut(ctx context.Context) bool {
	if !errors.Is(context.Cause(ctx), errTimeLimit) {
		return false
	}
	text := "stopped at the time limit, with no test running"
	if len(r.results.Running) > 0 {
		var running []string
		for _, t := range r.results.Running {
			running = append(running, fmt.Sprintf("%s on %s", t.ID, t.Worker))
		}
		text = "stopped at the time limit while running " + strings.Join(running, ", ")
	}
	// It is said with the other notes, when the session is closed.
	if err := appendResults(r.name, timing.NoteLine(text)); err != nil {
		r.sys.warn("%v", err)
	}
	return true
}
