package main

import (
	"bufio"
	"fmt"
	"io"
	"maps"
	"math"
	"os"
	"runtime"
	"slices"
	"strings"
	"time"

	"golang.org/x/exp/stats"

	"github.com/wcshard/wcshard/shard/pytest"
)

// A suiteReport is what a whole comparison found, and on what.
type suiteReport struct {
	Date     string               `json:"date"`
	Machine  string               `json:"machine"`
	Packages []string             `json:"packages"`
	Suites   map[string]suiteNote `json:"suites"`
	Rows     []suiteRow           `json:"rows"`
}

// A suiteNote says what a suite is.
type suiteNote struct {
	Shape    string   `json:"shape"`
	Options  string   `json:"options"`  // of wcbench suites, that choose it
	Packages []string `json:"packages"` // that it needs
}

func newReport(packages []string, specs []suiteSpec, rows []suiteRow, wall bool) suiteReport {
	r := suiteReport{Date: time.Now().UTC().Format(time.DateOnly), Machine: machine(), Packages: packages, Suites: map[string]suiteNote{}, Rows: rows}
	for _, spec := range specs {
		options := spec.options()
		if wall {
			options = append([]string{"--wall"}, options...)
		}
		r.Suites[spec.name] = suiteNote{spec.shape, pytest.JoinWords(options...), spec.packages}
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

// markdown writes what was measured, and on what.
func (r suiteReport) markdown(w io.Writer) {
	r.figures(w)
	fmt.Fprintln(w)
	r.list(w)
}

// figures writes a table with a line for each suite and number of jobs, and a
// chart of all of them.
func (r suiteReport) figures(w io.Writer) {
	var planners []string
	for _, x := range r.Rows {
		if x.Reason == "" && !slices.Contains(planners, x.Planner) {
			planners = append(planners, x.Planner)
		}
	}
	fmt.Fprintf(w, "| suite | N | plan | bound | %s | predicted off by |\n", strings.Join(planners, " | "))
	fmt.Fprintln(w, "|---|---|---|---"+strings.Repeat("|---", len(planners))+"|---|")
	recordings, paced := r.usual()
	for _, rows := range r.comparisons() {
		ours := rows[0]
		suite := fmt.Sprintf("%s, %d tests", ours.Suite, ours.Tests)
		if ours.Recordings > 1 && ours.Recordings != recordings {
			suite += fmt.Sprintf(", from %d recorded runs", ours.Recordings)
		}
		if ours.Rounds > 1 {
			suite += fmt.Sprintf(", median of %d runs", ours.Rounds)
		}
		switch {
		case ours.paced() && !paced:
			suite += ", at one pace"
		case !ours.paced() && paced:
			suite += ", at any pace"
		}
		if ours.ByClock {
			suite += ", by the clock"
		}
		fmt.Fprintf(w, "| %s | %d | %.1f | %.1f |", suite, ours.Shards, ours.Plan, ours.Bound)
		for _, planner := range planners {
			cell := ""
			if i := slices.IndexFunc(rows, func(x suiteRow) bool { return x.Planner == planner && x.Reason == "" }); i >= 0 {
				cell = rows[i].cell()
			}
			fmt.Fprintf(w, " %s |", cell)
		}
		off := ""
		if len(ours.Errors) > 0 {
			off = fmt.Sprintf("%.0f %%, at most %.0f %%", 100*stats.Median(ours.Errors), 100*slices.Max(ours.Errors))
		}
		fmt.Fprintf(w, " %s |\n", off)
	}
	fmt.Fprintln(w)
	if recordings > 1 {
		fmt.Fprintf(w, "From %d recorded runs%s.\n\n", recordings, map[bool]string{true: "; at one pace, where nothing else is said"}[paced])
	}
	fmt.Fprint(w, "```text\n")
	r.chart(w, planners)
	fmt.Fprint(w, "```\n\n")
	for _, line := range r.reasons() {
		fmt.Fprintf(w, "* %s\n", line)
	}
	fmt.Fprintf(w, "\n%s, %s, %s\n", r.Date, r.Machine, strings.Join(r.Packages, ", "))
}

// list writes what each suite is, and the options that choose it.
func (r suiteReport) list(w io.Writer) {
	for _, name := range slices.Sorted(maps.Keys(r.Suites)) {
		note := r.Suites[name]
		line := fmt.Sprintf("* %s: %s: `%s`", name, note.Shape, note.Options)
		if !strings.Contains(note.Options, "--packages") && len(note.Packages) > 0 {
			line += fmt.Sprintf(" (%s)", strings.Join(note.Packages, ", "))
		}
		fmt.Fprintln(w, line)
	}
}

// gain says how wcshard's longest jobs compare with the best rival's, of those that ran
// each test once, without the plan before them and with it.
func (r suiteReport) gain() string {
	suites, jobs := map[string]bool{}, map[int]bool{}
	var ratios, planned, plans, longest []float64
	ahead := 0
	for _, rows := range r.comparisons() {
		best := math.Inf(1)
		for _, x := range rows[1:] {
			if x.ranOnce() {
				best = min(best, x.Longest)
			}
		}
		if math.IsInf(best, 1) {
			continue
		}
		ours := rows[0]
		suites[ours.Suite], jobs[ours.Shards] = true, true
		ratios, planned = append(ratios, ours.Longest/best), append(planned, (ours.Longest+ours.Plan)/best)
		plans, longest = append(plans, ours.Plan), append(longest, ours.Longest)
		if ours.Longest < best {
			ahead++
		}
	}
	if len(ratios) == 0 {
		return "Nothing is measured yet."
	}
	return fmt.Sprintf("In %d comparisons (%d suites, over %s jobs) wcshard's longest job took %.2f of the time of the best rival's (geometric mean; from %.2f to %.2f). It was the shortest in %d of them. With the plan, which takes %.0f to %.0f s before the jobs start, it took %.2f: rivals plan in each job, and these jobs are short, %.0f to %.0f s.",
		len(ratios), len(suites), strings.ReplaceAll(strings.Trim(fmt.Sprint(slices.Sorted(maps.Keys(jobs))), "[]"), " ", " and "),
		geoMean(ratios), slices.Min(ratios), slices.Max(ratios), ahead, slices.Min(plans), slices.Max(plans), geoMean(planned), slices.Min(longest), slices.Max(longest))
}

// geoMean returns the geometric mean of some ratios.
func geoMean(ratios []float64) float64 {
	sum := 0.0
	for _, x := range ratios {
		sum += math.Log(x)
	}
	return math.Exp(sum / float64(len(ratios)))
}

// ranOnce reports whether a planner's jobs ran each test once.
func (x suiteRow) ranOnce() bool { return x.Longest > 0 && x.Lost+x.Doubled == 0 }

// usual returns from how many recorded runs all rows are, 0 where they differ, and whether
// most of them are at one pace.
func (r suiteReport) usual() (recordings int, paced bool) {
	all := r.comparisons()
	some := 0
	for _, rows := range all {
		if rows[0].paced() {
			some++
		}
	}
	alike := !slices.ContainsFunc(all, func(rows []suiteRow) bool { return rows[0].Recordings != all[0][0].Recordings })
	if alike && len(all) > 0 {
		recordings = all[0][0].Recordings
	}
	return recordings, 2*some > len(all)
}

// paced reports whether its times are as they would be at the pace of the recorded runs.
func (x suiteRow) paced() bool {
	return slices.ContainsFunc(x.Slower, func(slower float64) bool { return slower != 1 })
}

// cell is what a planner's jobs came to: the longest and the sum, and what went
// wrong.
func (x suiteRow) cell() string {
	text := fmt.Sprintf("%.1f / %.0f", x.Longest, x.Sum)
	for _, fault := range []struct {
		n    int
		what string
	}{{x.Lost, "lost"}, {x.Doubled, "doubled"}, {len(x.Wrong), "wrong exits"}} {
		if fault.n == 1 {
			fault.what = strings.TrimSuffix(fault.what, "s")
		}
		if fault.n > 0 {
			text += fmt.Sprintf(", %d %s", fault.n, fault.what)
		}
	}
	return text
}

// comparisons divides the rows by suite and number of jobs.
func (r suiteReport) comparisons() [][]suiteRow {
	var all [][]suiteRow
	for _, x := range r.Rows {
		if n := len(all); n > 0 && all[n-1][0].Suite == x.Suite && all[n-1][0].Shards == x.Shards {
			all[n-1] = append(all[n-1], x)
		} else {
			all = append(all, []suiteRow{x})
		}
	}
	return all
}

// chart draws a bar for each planner: its longest job over the bound, as the
// geometric mean of all comparisons in which it ran each test once; and beside it the
// same over wcshard's.
func (r suiteReport) chart(w io.Writer, planners []string) {
	const width = 40
	toBound, toOurs, most := map[string][]float64{}, map[string][]float64{}, 1.0
	for _, planner := range planners {
		for _, rows := range r.comparisons() {
			for _, x := range rows {
				if x.Planner == planner && x.ranOnce() && rows[0].Bound > 0 {
					toBound[planner] = append(toBound[planner], x.Longest/rows[0].Bound)
					toOurs[planner] = append(toOurs[planner], x.Longest/rows[0].Longest)
				}
			}
		}
		if len(toBound[planner]) > 0 {
			most = max(most, geoMean(toBound[planner]))
		}
	}
	fmt.Fprintf(w, "longest job, geometric mean of the %d lines above\n", len(r.comparisons()))
	fmt.Fprintln(w, "                                     over wcshard's  over the bound")
	for _, planner := range planners {
		fewer := ""
		switch n := len(toBound[planner]); {
		case n == 0:
			fmt.Fprintf(w, "  %-34s          -               -\n", planner)
			continue
		case n < len(r.comparisons()):
			fewer = fmt.Sprintf("  (of the %d where it ran each test once)", n) // and has figures, and a bound
		}
		mean := geoMean(toBound[planner])
		fmt.Fprintf(w, "  %-34s %10.2f      %10.2f  %s%s\n", planner, geoMean(toOurs[planner]), mean, strings.Repeat("#", int(math.Round(width*mean/most))), fewer)
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
