package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"time"

	"github.com/spf13/cobra"
)

// measuredVerb is what wcbench calls itself with to run another program.
const measuredVerb = "measured"

// A measurement is what a program took.
type measurement struct {
	Seconds float64 `json:"seconds"`
	CPU     float64 `json:"cpu_seconds"`
	Peak    int64   `json:"peak_bytes"`
}

// measure runs a command and says what it took. A process that is small runs
// it: on Linux a program's peak counts from what its parent held when it was
// started, which may be a suite of a million tests here.
func measure(cmd *exec.Cmd) (m measurement, err error) {
	self, err := os.Executable()
	if err != nil {
		return m, err
	}
	f, err := os.CreateTemp("", "wcbench-measured-")
	if err != nil {
		return m, err
	}
	defer os.Remove(f.Name())
	if err := f.Close(); err != nil {
		return m, err
	}
	cmd.Args = append([]string{self, measuredVerb, f.Name(), cmd.Path}, cmd.Args[1:]...)
	cmd.Path = self
	if err := cmd.Run(); err != nil {
		return m, err
	}
	text, err := os.ReadFile(f.Name())
	if err != nil {
		return m, err
	}
	return m, json.Unmarshal(text, &m)
}

func newMeasured() *cobra.Command {
	return &cobra.Command{
		Use: measuredVerb, Hidden: true, DisableFlagParsing: true,
		RunE: func(_ *cobra.Command, args []string) error { return runMeasured(args) },
	}
}

// runMeasured runs args[1:] and writes what it took to the file args[0].
func runMeasured(args []string) error {
	if len(args) < 2 {
		return errors.New("measured wants a file and a command")
	}
	cmd := exec.Command(args[1], args[2:]...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	began := time.Now()
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("running %s: %w", args[1], err)
	}
	p := cmd.ProcessState
	text, err := json.Marshal(measurement{time.Since(began).Seconds(), (p.UserTime() + p.SystemTime()).Seconds(), peak(p)})
	if err != nil {
		return err
	}
	return os.WriteFile(args[0], text, 0o600)
}
