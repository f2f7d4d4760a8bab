package main

import (
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// TestMain lets wcshard call this very test binary as its pytest, and measure
// call it to run a program.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == measuredVerb {
		if err := runMeasured(os.Args[2:]); err != nil {
			os.Stderr.WriteString(err.Error())
			os.Exit(1)
		}
		os.Exit(0)
	}
	if len(os.Args) > 1 && os.Args[1] == fakePytest {
		if err := reportAtOnce(); err != nil {
			os.Stderr.WriteString(err.Error())
			os.Exit(3)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// The jobs are gone through on a small suite with the real command; verify
// would fail if the pytest that stands in had not reported each test.
func TestActionCost(t *testing.T) {
	if _, err := exec.LookPath("go"); err != nil {
		t.Skip("no go command to build wcshard with")
	}
	var b strings.Builder
	o := actionOptions{tests: 300, files: 20, shards: 3, samples: 3, rounds: 2, json: true}
	if err := doAction(context.Background(), &b, o); err != nil {
		t.Fatal(err)
	}
	var rows []actionRow
	if err := json.Unmarshal([]byte(b.String()), &rows); err != nil {
		t.Fatal(err)
	}
	var commands []string
	for _, row := range rows {
		commands = append(commands, row.Command)
		if row.Seconds <= 0 || row.Decode <= 0 || row.FileBytes <= 0 {
			t.Errorf("%s: %+v", row.Command, row)
		}
	}
	if got := strings.Join(commands, ", "); got != "matrix, run, verify, merge, verify and merge" {
		t.Errorf("measured %s", got)
	}
	o = actionOptions{tests: 30, files: 2, shards: 1, samples: 1, rounds: 1, limit: time.Nanosecond}
	if err := doAction(context.Background(), &b, o); err == nil || !strings.Contains(err.Error(), "matrix takes") {
		t.Errorf("slower than the limit: %v", err)
	}
}
