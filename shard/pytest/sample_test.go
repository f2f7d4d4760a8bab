package pytest

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// TestSamplesApart: on Windows samples come after pytest's own lines, and never
// into the middle of one.
func TestSamplesApart(t *testing.T) {
	for _, test := range []struct {
		before string
		apart  bool
		during bool // the samples come while pytest runs
		after  bool
	}{
		{"one\n", false, true, true},
		{"one\n", true, false, true},
		{"one\nto", true, false, false},
	} {
		dir := t.TempDir()
		results := filepath.Join(dir, "results")
		write := func(name, text string) {
			if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		write("results", test.before)
		write(pidPrefix+"main", strconv.Itoa(os.Getpid()))
		sampled := func() bool {
			text, err := os.ReadFile(results)
			if err != nil || !strings.HasPrefix(string(text), test.before) {
				t.Fatalf("the results are %q, %v", text, err)
			}
			return strings.Contains(string(text), `{"t":"mem",`)
		}
		stop := sampling(dir, results, test.apart)
		time.Sleep(2*slowest + 5*sampleEvery)
		during := sampled()
		stop()
		if after := sampled(); during != test.during || after != test.after {
			t.Errorf("%q, apart %v: samples while pytest runs %v, then %v", test.before, test.apart, during, after)
		}
	}
}
