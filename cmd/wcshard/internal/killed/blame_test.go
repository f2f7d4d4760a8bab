package killed

import (
	"testing"

	"github.com/wcshard/wcshard/timing"
)

const mib = 1 << 20

func running(id, worker string, pid int, before, peak int64) timing.TestStart {
	return timing.TestStart{ID: timing.NodeID(id), Worker: worker, PID: pid, Before: before * mib, Peak: peak * mib}
}

func TestJudge(t *testing.T) {
	big, small := running("a.py::big", "gw1", 11, 100, 900), running("b.py::small", "gw0", 10, 100, 120)
	counted := Counts{Own: 1, Machine: 1}
	for _, test := range []struct {
		name    string
		scene   Scene
		culprit timing.NodeID
		victims []timing.NodeID
		want    string
	}{
		{
			"the killed one took it",
			Scene{Death: timing.Death{Worker: "gw1", Running: []timing.TestStart{small, big}}, Limit: 1000 * mib, Room: 1000 * mib, Sure: Likely, Count: Counts{Own: Unknown, Machine: 2}},
			"a.py::big", []timing.NodeID{"a.py::big"},
			"killed for lack of memory: worker gw1 while running a.py::big (900 MiB of 1000 MiB); gw0 was running b.py::small (120 MiB); most was taken by a.py::big (800 MiB) [likely: the kernel counted 2 kills on this machine]",
		},
		{
			"a fat worker died of another's growth",
			Scene{
				Death: timing.Death{Worker: "gw0", Running: []timing.TestStart{running("b.py::small", "gw0", 10, 1000, 1010), running("a.py::big", "gw1", 11, 100, 0)}},
				Held:  map[int]Held{0: {50 * mib, 50 * mib}, 10: {1010 * mib, 1010 * mib}, 11: {900 * mib, 900 * mib}}, Limit: 2000 * mib, Room: 2000 * mib, Sure: Certain, Count: counted,
			},
			"a.py::big", []timing.NodeID{"b.py::small"},
			"killed for lack of memory: worker gw0 while running b.py::small (1.0 GiB of 2.0 GiB); gw1 was running a.py::big (900 MiB); most was taken by a.py::big (800 MiB) [certain: the kernel counted 1 kill in this cgroup]",
		},
		{
			"nobody saw it grow: the others leave so much",
			Scene{
				Death: timing.Death{Worker: "gw1", Running: []timing.TestStart{small, running("a.py::big", "gw1", 11, 100, 0)}},
				Held:  map[int]Held{0: {50 * mib, 50 * mib}, 10: {120 * mib, 120 * mib}, 11: {110 * mib, 110 * mib}}, Limit: 1000 * mib, Room: 1000 * mib, Sure: Certain, Count: counted,
			},
			"a.py::big", []timing.NodeID{"a.py::big"},
			"killed for lack of memory: worker gw1 while running a.py::big (830 MiB of 1000 MiB); gw0 was running b.py::small (120 MiB); most was taken by a.py::big (730 MiB) [certain: the kernel counted 1 kill in this cgroup]",
		},
		{
			"pytest itself",
			Scene{Death: timing.Death{Running: []timing.TestStart{running("a.py::big", "main", 9, 300, 600)}}, Limit: 1000 * mib, Room: 1000 * mib, Sure: Certain, Count: counted},
			"a.py::big", []timing.NodeID{"a.py::big"},
			"killed for lack of memory: pytest while running a.py::big (600 MiB of 1000 MiB) [certain: the kernel counted 1 kill in this cgroup]",
		},
		{
			"pytest itself, and nobody saw it grow: the others leave so much",
			Scene{
				Death: timing.Death{PID: 9, Running: []timing.TestStart{running("a.py::big", "main", 9, 100, 0)}},
				Held:  map[int]Held{0: {50 * mib, 50 * mib}, 9: {110 * mib, 110 * mib}}, Limit: 1000 * mib, Room: 1000 * mib, Sure: Certain, Count: counted,
			},
			"a.py::big", []timing.NodeID{"a.py::big"},
			"killed for lack of memory: pytest while running a.py::big (950 MiB of 1000 MiB) [certain: the kernel counted 1 kill in this cgroup]",
		},
		{
			"other programs hold most of the machine",
			Scene{
				Death: timing.Death{PID: 9, Running: []timing.TestStart{running("a.py::big", "main", 9, 100, 0)}},
				Held:  map[int]Held{0: {50 * mib, 50 * mib}, 9: {110 * mib, 110 * mib}}, Limit: 16000 * mib, Room: 1000 * mib, Sure: Certain, Count: counted,
			},
			"a.py::big", []timing.NodeID{"a.py::big"},
			"killed for lack of memory: pytest while running a.py::big (950 MiB of 16 GiB) [certain: the kernel counted 1 kill in this cgroup]",
		},
		{
			"nobody saw what it held",
			Scene{Death: timing.Death{Running: []timing.TestStart{running("a.py::big", "main", 9, 0, 0)}}, Limit: 2000 * mib, Room: 2000 * mib, Sure: Certain, Count: counted},
			"a.py::big", []timing.NodeID{"a.py::big"},
			"killed for lack of memory: pytest while running a.py::big (memory unknown) [certain: the kernel counted 1 kill in this cgroup]",
		},
		{
			"what earlier tests left",
			Scene{Death: timing.Death{Running: []timing.TestStart{running("b.py::small", "main", 9, 900, 950)}}, Sure: Perhaps, Count: Counts{Unknown, Unknown}},
			"b.py::small", []timing.NodeID{"b.py::small"},
			"killed for lack of memory: pytest while running b.py::small (950 MiB); main held 900 MiB before that test [perhaps: nothing counts kills here, but it was SIGKILL and memory was short]",
		},
		{
			"between two tests",
			Scene{Death: timing.Death{Worker: "gw2", Running: []timing.TestStart{small, big}}, Sure: Likely, Count: Counts{Own: 1, Machine: 1}},
			"a.py::big", nil,
			"killed for lack of memory: worker gw2 between two tests; gw0 was running b.py::small (120 MiB); gw1 was running a.py::big (900 MiB); most was taken by a.py::big (800 MiB) [likely: the kernel counted only 1 kill in this cgroup]",
		},
		{
			"no process IDs",
			Scene{Death: timing.Death{Worker: "gw0", Running: []timing.TestStart{running("b.py::small", "gw0", 0, 100, 130)}}, Held: map[int]Held{0: {900 * mib, 900 * mib}}, Sure: Likely, Count: Counts{Own: 1}},
			"b.py::small", []timing.NodeID{"b.py::small"},
			"killed for lack of memory: worker gw0 while running b.py::small (130 MiB); gw0 held 100 MiB before that test [likely: the kernel counted only 1 kill in this cgroup]",
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			b := Judge(test.scene)
			if b.Culprit.ID != test.culprit {
				t.Errorf("the culprit is %q, want %q", b.Culprit.ID, test.culprit)
			}
			killed := b.Killed()
			if len(killed) != len(test.victims) {
				t.Fatalf("killed %+v, want %q", killed, test.victims)
			}
			for i, k := range killed {
				if k.ID != test.victims[i] || k.Culprit != (k.ID == test.culprit) {
					t.Errorf("killed %+v, want %q", k, test.victims[i])
				}
			}
			if got := b.String(); got != test.want {
				t.Errorf("it says\n%s\nwant\n%s", got, test.want)
			}
		})
	}
}

func TestSure(t *testing.T) {
	for _, test := range []struct {
		counts Counts
		signal int
		deaths int
		short  bool
		want   Sureness
	}{
		{Counts{1, 1}, 9, 1, false, Certain},
		{Counts{1, 1}, 0, 1, false, Certain}, // nobody knows the signal of a worker on another system
		{Counts{1, 1}, 9, 2, false, Likely},
		{Counts{1, 1}, 11, 1, true, No}, // a segmentation fault
		{Counts{0, 5}, 9, 1, true, No},  // somebody else's kill
		{Counts{Unknown, 5}, 9, 1, false, Likely},
		{Counts{Unknown, 0}, 9, 1, true, No},
		{Counts{Unknown, Unknown}, 9, 1, true, Perhaps},
		{Counts{Unknown, Unknown}, 9, 1, false, No},
		{Counts{Unknown, Unknown}, 0, 1, true, No},
	} {
		if got := test.counts.Sure(test.signal, test.deaths, test.short); got != test.want {
			t.Errorf("%+v.Sure(%d, %d, %v) = %d, want %d", test.counts, test.signal, test.deaths, test.short, got, test.want)
		}
	}
}
