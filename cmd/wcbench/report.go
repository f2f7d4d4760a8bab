package main

import (
	"bufio"
	"cmp"
	"fmt"
	"io"
	"maps"
	"math"
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

// markdown writes a table of all rows and a chart of the longest jobs.
func (r suiteReport) markdown(w io.Writer) {
	fmt.Fprintln(w, "| suite | N | planner | longest job | of the bound | sum of jobs | lost | doubled | wrong exits | predicted off by |")
	fmt.Fprintln(w, "|---|---|---|---|---|---|---|---|---|---|")
	bound := 0.0
	for _, x := range r.Rows {
		suite, n := "", ""
		if x.Planner == rivals[0].name {
			suite, n, bound = fmt.Sprintf("%s, %d tests", x.Suite, x.Tests), fmt.Sprint(x.Shards), x.Bound
			if x.Rounds > 1 {
				suite += fmt.Sprintf(", least of %d runs", x.Rounds)
			}
		}
		if x.Reason != "" {
			continue // said once, below
		}
		off := ""
		if len(x.Errors) > 0 {
			off = fmt.Sprintf("%.0f %%, at most %.0f %%", 100*median(x.Errors), 100*slices.Max(x.Errors))
		}
		fmt.Fprintf(w, "| %s | %s | %s | %.1f s | %.2f | %.0f s | %d | %d | %d | %s |\n",
			suite, n, x.Planner, x.Longest, x.Longest/bound, x.Sum, x.Lost, x.Doubled, len(x.Wrong), off)
	}
	fmt.Fprint(w, "\n```text\n")
	r.chart(w)
	fmt.Fprint(w, "```\n\n")
	for _, line := range r.reasons() {
		fmt.Fprintf(w, "* %s\n", line)
	}
	for _, name := range slices.Sorted(maps.Keys(r.Suites)) {
		line := fmt.Sprintf("* %s: %s", name, suiteSpecs[name].shape)
		if what := r.Suites[name]; len(what) > 0 {
			line += fmt.Sprintf(": `%s`", strings.Join(what, " "))
		}
		fmt.Fprintln(w, line)
	}
	fmt.Fprintf(w, "\n%s, %s, %s\n", r.Date, r.Machine, strings.Join(r.Packages, ", "))
}

// chart draws a bar for each longest job, against the longest of its suite
// and number of jobs.
func (r suiteReport) chart(w io.Writer) {
	const width = 40
	for rows := r.Rows; len(rows) > 0; {
		next := slices.IndexFunc(rows, func(x suiteRow) bool { return x.Suite != rows[0].Suite || x.Shards != rows[0].Shards })
		if next < 0 {
			next = len(rows)
		}
		most := slices.MaxFunc(rows[:next], func(a, b suiteRow) int { return cmp.Compare(a.Longest, b.Longest) }).Longest
		fmt.Fprintf(w, "%s over %d jobs: CPU seconds of the longest job\n", rows[0].Suite, rows[0].Shards)
		for _, x := range rows[:next] {
			if x.Reason == "" && most > 0 {
				fmt.Fprintf(w, "  %-34s %6.1f  %s\n", x.Planner, x.Longest, strings.Repeat("#", int(math.Round(width*x.Longest/most))))
			}
		}
		rows = rows[next:]
	}
}

// reasons says once why a planner has no figures.
func (r suiteReport) reasons() []string {
	var lines []string
	for _, x := range r.Rows {
		if line := x.Planner + ": no figures: " + x.Reason; x.Reason != "" && !slices.Contains(lines, line) {
			lines = append(lines, line)
		}
	}
	return lines
}
