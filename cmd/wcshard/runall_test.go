package main

import (
	"errors"
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/wcshard/wcshard/shard"
	"github.com/wcshard/wcshard/timing"
)

// TestTooLargeHere: a test that this machine has no room for is told of this
// machine, while its history is that of the plan's runner.
func TestTooLargeHere(t *testing.T) {
	dir := t.TempDir()
	header := timing.ResultsHeader{Plan: "sha256:x", Run: "r", Shards: []string{"pool-1"}, Attempt: 1, Runner: "ubuntu-latest", Workers: 1, Started: time.Unix(1, 0).UTC()}
	writeTestFile(t, filepath.Join(dir, "wcshard-results-pool-1-1.jsonl"), string(header.Line())+
		fmt.Sprintf(`{"t":"worker","worker":"main","startup_us":1,"collect_us":1,"floor":%d,"imports_us":{}}`+"\n", 50<<20)+
		`{"t":"start","id":"a.py::x","worker":"main"}`+"\n"+
		fmt.Sprintf(`{"t":"test","id":"a.py::x","worker":"main","start_us":1,"outcome":"passed","setup_us":1,"call_us":20000000,"teardown_us":1,"wall_us":20000009,"before":%d,"peak":%d,"after":%d}`+"\n", 50<<20, 4<<30, 50<<20)+
		string(timing.EndLine(0, time.Minute)))
	mustRun(t, wcshard(t, dir, nil, "merge", "."))
	history, err := readHistory(&system{stderr: t.Output()}, filepath.Join(dir, defaultTimings), false)
	if err != nil {
		t.Fatal(err)
	}
	shards := []*shard.Shard{{Name: "pool-1", Pieces: []shard.Piece{{File: "a.py", Tests: []string{"::x"}}}}}
	_, err = together("all", new(shard.Plan), shards, 2, history, shard.Fleet{Runner: "ubuntu-latest", MemoryRunner: "large", Memory: 1 << 30, CPUs: 2})
	var large *shard.TooLargeError
	if !errors.As(err, &large) || large.Runner != "this machine" {
		t.Errorf("together() = %v, want an error about this machine", err)
	}
}

// TestMemoryWorkersRefused: a flag without effect is no flag to accept.
func TestMemoryWorkersRefused(t *testing.T) {
	for schedule, want := range map[string]int{memorySchedule: exitUsage, phaseSchedule: exitOK, "auto": exitOK} {
		o := runOptions{all: true, index: noIndex, timings: defaultTimings, memoryModules: "2", schedule: schedule, workers: "auto"}
		if err := o.validate(new(system)); exitStatus(err) != want {
			t.Errorf("--schedule %s with --memory-workers: %v, want status %d", schedule, err, want)
		}
	}
}

// More workers than cores are told where the plan took the runner for a larger one.
func TestCrowded(t *testing.T) {
	auto, asked := shard.Fleet{CPUs: 4, Workers: 4}, shard.Fleet{CPUs: 4, Workers: 3} // as a plan has them
	for _, test := range []struct {
		fleet shard.Fleet
		shard shard.Shard
		cores int
		want  bool
	}{
		{auto, shard.Shard{Kind: shard.Pool, Workers: 4}, 2, true},
		{auto, shard.Shard{Kind: shard.Pool, Workers: 4}, 4, false},
		{auto, shard.Shard{Kind: shard.Pool, Workers: 2}, 2, false},
		{asked, shard.Shard{Kind: shard.Pool, Workers: 3}, 2, false},
		{asked, shard.Shard{Kind: shard.Memory, Workers: 4}, 2, true},
		{shard.Fleet{CPUs: 4, MemoryWorkers: 3}, shard.Shard{Kind: shard.Memory, Workers: 3}, 2, false},
	} {
		if got := crowded(&shard.Plan{Fleet: test.fleet}, &test.shard, test.cores); got != test.want {
			t.Errorf("%+v of %+v on %d cores: %v, want %v", test.shard, test.fleet, test.cores, got, test.want)
		}
	}
}
