package main

import (
	"bufio"
	"os"
	"runtime"
	"slices"
	"strings"
	"time"
)

// A suiteReport is what a whole comparison found, and on what.
type suiteReport struct {
	Date     string              `json:"date"`
	Machine  string              `json:"machine"`
	Packages []string            `json:"packages"`
	Suites   map[string][]string `json:"suites"` // what each runs, and the packages it needs
	Rows     []suiteRow          `json:"rows"`
}

func newReport(packages, suites []string, rows []suiteRow) suiteReport {
	r := suiteReport{Date: time.Now().UTC().Format(time.DateOnly), Machine: machine(), Packages: packages, Suites: map[string][]string{}, Rows: rows}
	for _, name := range suites {
		r.Suites[name] = slices.Concat(suiteSpecs[name].args, suiteSpecs[name].packages)
	}
	return r
}

// machine names the processor and the system.
func machine() string {
	system := runtime.GOOS + "/" + runtime.GOARCH
	f, err := os.Open("/proc/cpuinfo")
	if err != nil {
		return system
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		if key, value, _ := strings.Cut(lines.Text(), ":"); strings.TrimSpace(key) == "model name" {
			return strings.TrimSpace(value) + ", " + system
		}
	}
	return system
}
