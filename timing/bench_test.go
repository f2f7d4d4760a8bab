package timing

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"time"
)

// benchResults makes runs of n tests in files of 50, with times and memory of
// the usual sizes.
func benchResults(n, runs int) []*Results {
	var list []*Results
	for run := range runs {
		rng := rand.New(rand.NewPCG(uint64(run), 1))
		r := &Results{Header: ResultsHeader{Run: fmt.Sprintf("github-1234567%d-1", run), Runner: "ubuntu-latest", Started: time.UnixMilli(1795431600000 + int64(run)*3600000).UTC()}}
		us := func(max int64) time.Duration { return time.Duration(rng.Int64N(max)) * time.Microsecond }
		for i := range n {
			t := TestResult{
				ID:     NodeID(fmt.Sprintf("tests/package_%d/test_module_%05d.py::TestClass%d::test_function[%d-param]", i/5000, i/50, i/10%5, i)),
				Worker: "gw0", Outcome: Passed, Setup: us(1000), Call: us(100000), Teardown: us(1000),
				Before: 300 << 20, Peak: 300<<20 + rng.Int64N(1<<20)&^4095,
			}
			t.After, t.Wall = t.Before, t.Setup+t.Call+t.Teardown+us(3000)
			r.Tests = append(r.Tests, t)
		}
		r.Workers = []WorkerResult{{Worker: "gw0", Startup: time.Second, Collect: time.Second, Floor: 200 << 20}}
		list = append(list, r)
	}
	return list
}

// benchHistory returns a history file of n tests with three samples each.
func benchHistory(b *testing.B, n int) []byte {
	var file bytes.Buffer
	if err := FromResults(benchResults(n, 3)...).Write(&file); err != nil {
		b.Fatal(err)
	}
	return file.Bytes()
}

func BenchmarkHistory(b *testing.B) {
	for _, n := range []int{10_000, 1_000_000} {
		if n > 10_000 && testing.Short() {
			continue
		}
		file := benchHistory(b, n)
		h := reread(b, string(file))
		name := func(what string) string { return fmt.Sprintf("%s/tests=%d", what, n) }
		b.Run(name("read"), func(b *testing.B) {
			b.SetBytes(int64(len(file)))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := ReadHistory(bytes.NewReader(file), "h"); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(name("write"), func(b *testing.B) {
			b.SetBytes(int64(len(file)))
			for b.Loop() {
				if err := h.Write(io.Discard); err != nil {
					b.Fatal(err)
				}
			}
		})
		known := h.Tests()
		b.Run(name("estimate"), func(b *testing.B) {
			for b.Loop() {
				h.Estimator("ubuntu-latest").Tests(known)
			}
		})
		// Every second test is unknown, of every nearness.
		half := make([]NodeID, len(known))
		for i, id := range known {
			switch i % 8 {
			case 1:
				id += "[new]" // a parameter of a known function
			case 3:
				id = NodeID(id.File()) + "::test_new"
			case 5:
				id = "new_" + id
			case 7:
				id = NodeID(id.Class()) + "::test_new"
			}
			half[i] = id
		}
		b.Run(name("estimate-half-unknown"), func(b *testing.B) {
			for b.Loop() {
				h.Estimator("ubuntu-latest").Tests(half)
			}
		})
		newer := benchResults(n, 4)[3]
		b.Run(name("merge"), func(b *testing.B) {
			for b.Loop() {
				merged := &History{}
				merged.Merge(h)
				merged.Merge(FromResults(newer))
				merged.Prune(Limits{})
			}
		})
	}
}

func BenchmarkReadResults(b *testing.B) {
	const n = 100_000
	r := benchResults(n, 1)[0]
	file := bytes.NewBuffer(r.Header.Line())
	for _, t := range r.Tests {
		fmt.Fprintf(file, `{"t":"start","id":%q,"worker":"gw0"}`+"\n", t.ID)
		fmt.Fprintf(file, `{"t":"test","id":%q,"worker":"gw0","start_us":1,"outcome":"passed","setup_us":%d,"call_us":%d,"teardown_us":%d,"wall_us":%d,"fixtures":[["module a.py::model",12345,0]],"before":%d,"peak":%d,"after":%d}`+"\n",
			t.ID, t.Setup.Microseconds(), t.Call.Microseconds(), t.Teardown.Microseconds(), t.Wall.Microseconds(), t.Before, t.Peak, t.After)
	}
	file.Write(EndLine(0, time.Hour))
	b.Run(fmt.Sprintf("tests=%d", n), func(b *testing.B) {
		b.SetBytes(int64(file.Len()))
		b.ReportAllocs()
		for b.Loop() {
			if _, err := ReadResults(bytes.NewReader(file.Bytes()), "r"); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// BenchmarkReadHistoryMemory reports what a history of a million tests holds.
func BenchmarkReadHistoryMemory(b *testing.B) {
	if testing.Short() {
		b.Skip("a million tests")
	}
	path := filepath.Join(b.TempDir(), "h")
	if err := os.WriteFile(path, benchHistory(b, 1_000_000), 0o600); err != nil {
		b.Fatal(err)
	}
	var before, after runtime.MemStats
	for b.Loop() {
		runtime.GC()
		runtime.ReadMemStats(&before)
		f, err := os.Open(path)
		if err != nil {
			b.Fatal(err)
		}
		h, err := ReadHistory(f, "h")
		if err != nil {
			b.Fatal(err)
		}
		f.Close()
		runtime.GC()
		runtime.ReadMemStats(&after)
		runtime.KeepAlive(h)
	}
	b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/(1<<20), "MiB-held")
}
