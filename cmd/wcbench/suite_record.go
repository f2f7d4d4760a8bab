package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// A suiteRecord is what the recording runs leave, beside durations.
type suiteRecord struct {
	Tests  map[string]int    `json:"tests"`
	Failed map[string]string `json:"failed,omitempty"` // planner → why it recorded nothing
	Runs   int               `json:"runs"`
	Clock  bool              `json:"by_the_clock,omitempty"` // with --wall
	Share  float64           `json:"share"`
	Beat   float64           `json:"beat_cpu_seconds,omitempty"` // of the pacer, while wcshard recorded
}

// recordAll has each planner record durations so many times, one after another, or
// takes those that an earlier run kept.
func (s *benchSuite) recordAll(ctx context.Context, runs int) error {
	name := s.file("record.json")
	var kept suiteRecord
	if found, err := readKept(name, &kept); err != nil {
		return err
	} else if found {
		if s.pace != nil && kept.Beat == 0 {
			return fmt.Errorf("%s is of an older wcbench, and says nothing of the machine's pace: pass another folder to --keep", name)
		}
		if kept.Runs = max(kept.Runs, 1); kept.Runs != runs {
			return fmt.Errorf("%s is of %d recorded runs, not of %d: pass --recordings %d, or another folder to --keep", name, kept.Runs, runs, kept.Runs)
		}
		if kept.Clock != s.byClock {
			return fmt.Errorf("%s is of a comparison with --wall=%v: pass that, or another folder to --keep", name, kept.Clock)
		}
		s.tests, s.share, s.beat, s.runs = kept.Tests, kept.Share, kept.Beat, runs
		for name, why := range kept.Failed {
			s.recorded[name] = errors.New(why)
		}
		return nil
	}
	kept.Failed, kept.Runs = map[string]string{}, runs
	if err := s.forget(); err != nil {
		return err
	}
	for s.runs = range runs {
		for _, r := range suitePlanners {
			if s.recorded[r.name] != nil {
				continue
			}
			if err := s.record(ctx, r); err != nil {
				return fmt.Errorf("with %s: %w", r.name, err)
			}
		}
	}
	if s.tests == nil { // the rivals' run says which there are
		return fmt.Errorf("running all of its tests: %w", s.recorded[together])
	}
	for name, err := range s.recorded {
		kept.Failed[name] = err.Error()
	}
	s.runs = runs
	kept.Tests, kept.Share, kept.Beat, kept.Clock = s.tests, s.share, s.beat, s.byClock
	return keepJSON(name, kept)
}

// forget removes what was recorded in an earlier call that was cut off: rivals average,
// or keep what they do not measure anew.
func (s *benchSuite) forget() error {
	old, err := filepath.Glob(s.file("recorded-*"))
	if err != nil {
		return err
	}
	for _, name := range []string{"timings.jsonl", "durations", "balance", "fsplit.json"} {
		old = append(old, s.file(name))
	}
	for _, name := range old {
		if err := os.RemoveAll(name); err != nil {
			return err
		}
	}
	return nil
}

// record has a planner record durations. One that cannot is left out, with the
// reason.
func (s *benchSuite) record(ctx context.Context, r suitePlanner) error {
	if err := r.record(ctx, s); err != nil {
		if ctx.Err() != nil {
			return err
		}
		s.recorded[r.name] = err
	}
	return nil
}
