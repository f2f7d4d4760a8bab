package shard

import (
	"encoding/json"
	"strings"
	"time"

	"github.com/wcshard/wcshard/timing"
)

// Verdict is what became of a plan: whether each planned test ran exactly
// once, and how.
type Verdict struct {
	Plan    string // digest
	Run     string // the one whose results count; "" where there are none
	Planned int    // tests of the plan
	Ran     int    // how many of them finished
	Once    int    // how many of them finished as often as planned, no more

	Outcomes map[timing.Outcome]int // of planned tests; one that finished twice counts twice
	Shards   []ShardVerdict         // in the plan's order
	Failures []Failure              // tests that failed, in the plan's order

	Killed    []Killed      // tries that were killed for lack of memory, which do not count as runs, in the plan's order
	Missing   []Missing     // planned and not finished, in the plan's order
	Doubled   []Doubled     // finished too often, in the plan's order
	Unplanned []Unplanned   // finished, or collected and left alone, and in no shard of the plan
	Earlier   []EarlierFile // results of the same plan that do not count, as those of Run are newer
	Refused   []RefusedFile // results that do not count, and should
	Torn      []string      // doubts in reading the results, from Results.Warnings
}

// ShardVerdict is what became of one shard.
type ShardVerdict struct {
	Name      string
	Kind      Kind
	Planned   int
	Ran       int                    // as in Verdict
	Outcomes  map[timing.Outcome]int // as in Verdict
	Reported  bool                   // there are results of it
	Ended     bool                   // to the end, with Exit
	Exit      int                    // pytest's exit status; 0 for a 1 that comes from a shard run again since, or from another one of its session
	Attempt   int                    // the one that counts
	File      string                 // its results
	Running   []timing.NodeID        // tests that had started when it ended early
	Held      []int64                // by each of Running: the highest sample of its worker's memory, bytes; 0 where there is none
	Predicted time.Duration
	Real      time.Duration // wall time of the session
	Together  bool          // Real is of a session that ran other shards too
	Peak      int64         // sum over workers of each one's highest peak, bytes; 0 where unknown
	Runner    string
	Workers   int
}

// Failure is a planned test that failed.
type Failure struct {
	ID      timing.NodeID  `json:"id"`
	Shard   string         `json:"shard"`
	Outcome timing.Outcome `json:"outcome"`
	Message string         `json:"message"`
	Path    string         `json:"path"`
	Line    int            `json:"line"`
}

// Reason is why a planned test is missing.
type Reason string

// The reasons, from the one that says most.
const (
	NotImported Reason = "its file could not be imported"
	NotFound    Reason = "not found"    // pytest did not collect it
	WasRunning  Reason = "was running"  // it had started when its shard ended early
	NotReached  Reason = "not reached"  // its shard ended before its turn
	NotReported Reason = "not reported" // there are no results of its shard
	NotRun      Reason = "not run"      // its shard ended in order without it
)

// Missing is a planned test that did not finish.
type Missing struct {
	ID     timing.NodeID `json:"id"`
	Shard  string        `json:"shard"`
	Reason Reason        `json:"reason"`
}

// Doubled is a test that finished more often than planned.
type Doubled struct {
	ID     timing.NodeID `json:"id"`
	Times  int           `json:"times"`
	Shards []string      `json:"shards"` // where, each once, in order
}

// Killed is a try of a planned test that the kernel killed for lack of memory.
// The test ran again, alone, and Outcome is what came of that.
type Killed struct {
	ID      timing.NodeID  `json:"id"`
	Shard   string         `json:"shard"`
	Held    int64          `json:"held_bytes"` // by its worker, at least; 0 where nobody saw it
	Culprit bool           `json:"culprit"`    // it took the memory itself, as far as could be told
	Outcome timing.Outcome `json:"outcome"`    // of its last try; "" where there is none
}

// reordered ends the ID that the plugin gives to a function whose parameters a shard
// found in another order, among the tests that no shard has.
const reordered = "[in another order than planned]"

// Reordered returns the function whose parameters the shard found in another order than
// the plan has them, where this is not a test but that.
func (u *Unplanned) Reordered() (function string, is bool) {
	return strings.CutSuffix(string(u.ID), reordered)
}

// Unplanned is a test that no shard of the plan has.
type Unplanned struct {
	ID    timing.NodeID `json:"id"`
	Shard string        `json:"shard"`
	Ran   bool          `json:"ran"` // or was only collected
}

// EarlierFile is a results file of an earlier run.
type EarlierFile struct {
	File   string   `json:"file"`
	Run    string   `json:"run"`
	Shards []string `json:"shards"`
}

// RefusedFile is a results file that does not count, and why.
type RefusedFile struct {
	File   string `json:"file"`
	Reason string `json:"reason"`
}

// Complete reports whether each planned test ran exactly once and nothing else
// did, with every shard's session ended and all results counted.
func (v *Verdict) Complete() bool {
	if len(v.Missing)+len(v.Doubled)+len(v.Unplanned)+len(v.Refused) > 0 {
		return false
	}
	for i := range v.Shards {
		if !v.Shards[i].Ended {
			return false
		}
	}
	return true
}

// Green reports whether no planned test failed and every session that ended
// did so with status 0: pytest also reports what is no test's fault, such as
// too little coverage.
func (v *Verdict) Green() bool {
	for o, n := range v.Outcomes {
		if o.Bad() && n > 0 {
			return false
		}
	}
	for i := range v.Shards {
		if s := &v.Shards[i]; s.Ended && s.Exit != 0 {
			return false
		}
	}
	return true
}

// MarshalJSON writes the verdict with stable lower-case keys, its two
// judgements among them.
func (v *Verdict) MarshalJSON() ([]byte, error) {
	return json.Marshal(struct {
		Plan      string                 `json:"plan"`
		Run       string                 `json:"run"`
		Complete  bool                   `json:"complete"`
		Green     bool                   `json:"green"`
		Planned   int                    `json:"planned"`
		Ran       int                    `json:"ran"`
		Once      int                    `json:"once"`
		Outcomes  map[timing.Outcome]int `json:"outcomes"`
		Shards    []ShardVerdict         `json:"shards"`
		Failures  []Failure              `json:"failures"`
		Killed    []Killed               `json:"killed"`
		Missing   []Missing              `json:"missing"`
		Doubled   []Doubled              `json:"doubled"`
		Unplanned []Unplanned            `json:"unplanned"`
		Earlier   []EarlierFile          `json:"earlier"`
		Refused   []RefusedFile          `json:"refused"`
		Torn      []string               `json:"torn"`
	}{
		v.Plan, v.Run, v.Complete(), v.Green(), v.Planned, v.Ran, v.Once, v.Outcomes, list(v.Shards), list(v.Failures), list(v.Killed),
		list(v.Missing), list(v.Doubled), list(v.Unplanned), list(v.Earlier), list(v.Refused), list(v.Torn),
	})
}

// list makes a nil slice an empty one, which is [] in JSON.
func list[T any](s []T) []T {
	if s == nil {
		return []T{}
	}
	return s
}

// MarshalJSON writes times in whole microseconds and memory in bytes.
func (s ShardVerdict) MarshalJSON() ([]byte, error) {
	return json.Marshal(struct {
		Name      string                 `json:"name"`
		Kind      Kind                   `json:"kind"`
		Planned   int                    `json:"planned"`
		Ran       int                    `json:"ran"`
		Outcomes  map[timing.Outcome]int `json:"outcomes"`
		Reported  bool                   `json:"reported"`
		Ended     bool                   `json:"ended"`
		Exit      int                    `json:"exit"`
		Attempt   int                    `json:"attempt"`
		File      string                 `json:"file"`
		Running   []timing.NodeID        `json:"running"`
		Held      []int64                `json:"running_bytes"`
		Predicted int64                  `json:"predicted_us"`
		Real      int64                  `json:"real_us"`
		Together  bool                   `json:"together"`
		Peak      int64                  `json:"peak_bytes"`
		Runner    string                 `json:"runner"`
		Workers   int                    `json:"workers"`
	}{
		s.Name, s.Kind, s.Planned, s.Ran, s.Outcomes, s.Reported, s.Ended, s.Exit, s.Attempt, s.File,
		list(s.Running), list(s.Held), micros(s.Predicted), micros(s.Real), s.Together, s.Peak, s.Runner, s.Workers,
	})
}
