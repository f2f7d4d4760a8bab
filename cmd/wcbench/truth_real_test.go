package main

import (
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/wcshard/wcshard/shard"
	"github.com/wcshard/wcshard/timing"
)

// Each set-up is written where pytest looks for it, and each test asks for what it needs.
func TestSleepingFiles(t *testing.T) {
	test := func(id string, cost int, setups ...int) shard.Test {
		return shard.Test{ID: timing.NodeID(id), Setups: setups, Estimate: timing.Estimate{Wall: ms(cost)}}
	}
	got := sleepingFiles(shard.Suite{
		Setups: []shard.Setup{
			{ID: "p/test_a.py", Cost: ms(1500)}, {ID: "session ::s", Cost: ms(2)}, {ID: "package p::p", Cost: ms(3)},
			{ID: "module p/test_a.py::m[0]", Cost: ms(4)}, {ID: "module p/test_a.py::m[1]", Cost: ms(5)}, {ID: "class p/test_a.py::TestA::c", Cost: ms(6)},
		},
		Tests: []shard.Test{test("p/test_a.py::test_one", 10, 0, 1), test("p/test_a.py::TestA::test_two", 20, 0, 2, 4, 5)},
	})
	const top = "import time\n\nimport pytest\n\ntime.sleep(0)\n"
	want := map[string]string{
		"conftest.py":   top + "\n@pytest.fixture(scope=\"session\")\ndef s():\n    time.sleep(0.002)\n",
		"p/__init__.py": top,
		"p/conftest.py": top + "\n@pytest.fixture(scope=\"package\")\ndef p():\n    time.sleep(0.003)\n",
		"p/test_a.py": `import time

import pytest

time.sleep(1.5)


@pytest.fixture(scope="module", params=range(2))
def m(request):
    time.sleep([0.004, 0.005][request.param])

def test_one(s):
    time.sleep(0.01)


class TestA:

    @pytest.fixture(scope="class")
    def c(self):
        time.sleep(0.006)

    @pytest.mark.parametrize("m", [1], indirect=True)
    def test_two(self, p, m, c):
        time.sleep(0.02)
`,
	}
	for name, text := range want {
		if got[name] == nil || got[name].String() != text {
			t.Errorf("%s is\n%v\nwant\n%s", name, got[name], text)
		}
	}
	if len(got) != len(want) {
		t.Errorf("%d files, want %d", len(got), len(want))
	}
}

// A suite that takes too little is made dearer as a whole.
func TestDearer(t *testing.T) {
	c := truth{optimum: ms(1100), suite: shard.Suite{Base: ms(100), Setups: []shard.Setup{{Cost: ms(5)}}, Tests: []shard.Test{{Estimate: timing.Estimate{Wall: ms(7)}}}}}.dearer()
	if c.optimum != ms(3300) || c.suite.Base != ms(300) || c.suite.Setups[0].Cost != ms(15) || c.suite.Tests[0].Estimate.Wall != ms(21) {
		t.Errorf("a job of 1 s became %+v, want three times as much", c)
	}
	if c := (truth{optimum: longEnough}).dearer(); c.optimum != longEnough {
		t.Errorf("one of %v became %v", longEnough, c.optimum)
	}
}

// One suite is really recorded, planned and run: no job can take less than it sleeps.
func TestRealTruth(t *testing.T) {
	if _, err := exec.LookPath("go"); err != nil {
		t.Skip("no go command to build wcshard with")
	}
	if testing.Short() {
		t.Skip("-short: no real pytest")
	}
	place, err := newWorkplace(t.Context(), t.TempDir(), "")
	if err != nil {
		t.Fatal(err)
	}
	defer place.clean()
	c := newTruthCase(2).dearer()
	row, err := runTruth(t.Context(), place, c)
	if err != nil {
		t.Fatal(err)
	}
	if len(row.Real) != row.Jobs || row.Ratio < 0.9 {
		t.Errorf("ran %+v, want %d jobs, none faster than can be", row, row.Jobs)
	}
	for i, predicted := range row.Predicted {
		if least := time.Second.Seconds(); predicted < least || row.Real[i] < least {
			t.Errorf("predicted %.2f, real %.2f s, want some seconds", predicted, row.Real[i])
		}
	}
	// Nor can a plan of what was measured predict less than the best one takes.
	if least := (c.optimum - c.suite.Base).Seconds(); slices.Max(row.Predicted) < least || slices.Max(row.Real) < least {
		t.Errorf("predicted %.2f, real %.2f s, want the longest to take at least %.2f", row.Predicted, row.Real, least)
	}
	var b strings.Builder
	if err := printReal(&b, []realRow{row}, 1); err != nil || !strings.Contains(b.String(), "\nseed 2: off by ") || !strings.Contains(b.String(), byTrial) {
		t.Errorf("printed %q, %v", b.String(), err)
	}
}
