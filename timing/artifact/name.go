package artifact

import (
	"fmt"
	"regexp"
	"strconv"
)

// Kind is what an artifact holds.
type Kind string

// The kinds of artifacts.
const (
	Plan    Kind = "plan"    // the plan file
	Results Kind = "results" // the results of one shard
	Timings Kind = "timings" // the history
)

// Name is the parsed name of an artifact. Names carry the run attempt, as all
// attempts of a run share one list of artifacts and a name can be taken once.
type Name struct {
	Kind    Kind
	Shard   string // of Results
	Attempt int    // counts from 1
}

// PlanName names the artifact with the plan: "wcshard-plan-1". A re-run of the
// failed jobs makes no plan, so that the plan of the first attempt stays.
func PlanName(attempt int) string { return Name{Kind: Plan, Attempt: attempt}.String() }

// ResultsName names the artifact with the results of one shard:
// "wcshard-results-pool-1-2" is attempt 2 of shard pool-1.
func ResultsName(shard string, attempt int) string {
	return Name{Kind: Results, Shard: shard, Attempt: attempt}.String()
}

// TimingsName names the artifact with the history: "wcshard-timings-1".
func TimingsName(attempt int) string { return Name{Kind: Timings, Attempt: attempt}.String() }

// String returns the artifact's name.
func (n Name) String() string {
	if n.Kind == Results {
		return fmt.Sprintf("wcshard-results-%s-%d", n.Shard, n.Attempt)
	}
	return fmt.Sprintf("wcshard-%s-%d", n.Kind, n.Attempt)
}

var nameText = regexp.MustCompile(`^wcshard-(?:(plan|timings)|(results)-(.+))-([1-9][0-9]{0,8})$`)

// ParseName is the opposite of String; ok is false for an artifact that is not
// wcshard's.
func ParseName(text string) (name Name, ok bool) {
	m := nameText.FindStringSubmatch(text)
	if m == nil {
		return Name{}, false
	}
	attempt, err := strconv.Atoi(m[4])
	return Name{Kind: Kind(m[1] + m[2]), Shard: m[3], Attempt: attempt}, err == nil
}
