package main

import (
	"fmt"
	"strconv"
	"strings"
	"sync"
	"text/tabwriter"
	"time"

	"github.com/dustin/go-humanize"

	"github.com/wcshard/wcshard/shard"
)

// maxTableRows is how many shards the table shows: one screen.
const maxTableRows = 40

// printPlan prints the plan as a table on standard error.
func printPlan(sys *system, plan *shard.Plan, name string) {
	tests := 0
	for i := range plan.Shards {
		tests += plan.Shards[i].Len()
	}
	sys.say("%s on %s; %s written", count(tests, "test"), count(len(plan.Shards), "job"), name)
	table := tabwriter.NewWriter(sys.stderr, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(table, "shard\tkind\ttests\tseconds\tworkers\tmeasured\trelatives\tguessed\t")
	for i := range plan.Shards {
		if i == maxTableRows {
			break
		}
		s := &plan.Shards[i]
		fmt.Fprintf(table, "%s\t%s\t%d\t%s\t%d\t%s\t%s\t%s\t\n", s.Name, s.Kind, s.Len(), seconds(s.Wall), s.Workers,
			percent(s.Basis.Measured, s.Len()), percent(s.Basis.Relatives, s.Len()), percent(s.Basis.Guessed, s.Len()))
	}
	table.Flush()
	if more := len(plan.Shards) - maxTableRows; more > 0 {
		fmt.Fprintf(sys.stderr, "  … and %s\n", count(more, "shorter job"))
	}
	gap := 0.0
	if plan.Bound > 0 {
		gap = 100 * (float64(plan.Makespan)/float64(plan.Bound) - 1)
	}
	sys.say("longest job %s s, lower bound %s s (%+.1f %%)", seconds(plan.Makespan), seconds(plan.Bound), gap)
}

// seconds writes a duration in seconds, as pytest does.
func seconds(d time.Duration) string {
	return strconv.FormatFloat(d.Seconds(), 'f', 1, 64)
}

func percent(part, whole int) string {
	if part == 0 || whole == 0 {
		return "-"
	}
	p := 100 * float64(part) / float64(whole)
	if p > 99 && part < whole {
		return "99 %"
	}
	return fmt.Sprintf("%.0f %%", max(p, 1))
}

func bytesOf(n int64) string {
	if n <= 0 {
		return "-"
	}
	return humanize.IBytes(uint64(n))
}

// progress shows on a terminal that something long is going on, and how long
// already; in a log it is silent. The function that it returns ends it.
func (sys *system) progress(what string) (stop func()) {
	if !sys.terminal() {
		return func() {}
	}
	done := make(chan struct{})
	var wait sync.WaitGroup
	start := time.Now()
	line := func() string { return fmt.Sprintf("wcshard: %s … %.0f s", what, time.Since(start).Seconds()) }
	wait.Go(func() {
		tick := time.NewTicker(time.Second)
		defer tick.Stop()
		for {
			select {
			case <-done:
				fmt.Fprintf(sys.stderr, "\r%s\r", strings.Repeat(" ", len(line())))
				return
			case <-tick.C:
				fmt.Fprintf(sys.stderr, "\r%s", line())
			}
		}
	})
	var once sync.Once
	return func() { once.Do(func() { close(done); wait.Wait() }) }
}
