package shard

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/wcshard/wcshard/timing"
)

// syntheticSuite makes a suite of files of equal test counts whose times are
// spread over four powers of ten; with set-ups, each file has an import and a
// module fixture, and one file in ten needs one of 16 session fixtures.
func syntheticSuite(tests, files int, setups bool) Suite {
	r := rand.New(rand.NewPCG(1, 2))
	s := Suite{Base: time.Second}
	session := 0
	if setups {
		for k := range 16 {
			s.Setups = append(s.Setups, Setup{ID: timing.SetupID(fmt.Sprintf("session ::s%d", k)), Cost: time.Duration(r.IntN(2_000_000)) * time.Microsecond})
		}
		session = 16
	}
	s.Tests = make([]Test, 0, tests)
	for f := range files {
		file := fmt.Sprintf("tests/unit/package_%d/test_module_%d.py", f%97, f)
		var needs []int
		if setups {
			n := len(s.Setups)
			s.Setups = append(s.Setups, Setup{ID: timing.SetupID(file), Cost: time.Duration(r.IntN(200_000)) * time.Microsecond}, Setup{ID: timing.SetupID("module " + file + "::model"), Cost: time.Duration(r.IntN(500_000)) * time.Microsecond})
			if f%10 == 0 {
				needs = append(needs, r.IntN(session))
			}
			needs = append(needs, n, n+1)
		}
		for k := range tests/files + min(1, max(0, tests%files-f)) {
			us := 200 + int64(2000*r.ExpFloat64()*r.ExpFloat64()*r.ExpFloat64())
			s.Tests = append(s.Tests, Test{
				ID: timing.NodeID(fmt.Sprintf("%s::TestClass%d::test_case[%d]", file, k/10, k)), Order: len(s.Tests),
				Setups: needs, Estimate: timing.Estimate{Wall: duration(us), Rung: timing.Measured},
			})
		}
	}
	return s
}

func millionPlan(b *testing.B) (*Plan, []byte) {
	p, err := Pack(syntheticSuite(1_000_000, 20_000, false), Fleet{Shards: 256, CPUs: 4})
	if err != nil {
		b.Fatal(err)
	}
	var out bytes.Buffer
	if err := p.Write(&out); err != nil {
		b.Fatal(err)
	}
	return p, out.Bytes()
}

func BenchmarkPack(b *testing.B) {
	for _, c := range []struct {
		tests, files, shards int
		setups, shuffled     bool
	}{
		{10_000, 200, 16, false, false},
		{100_000, 2_000, 64, false, false},
		{1_000_000, 20_000, 256, false, false},
		{1_000_000, 20_000, 256, false, true},
		{1_000_000, 20_000, 256, true, false},
		{1_000_000, 1, 256, false, false},
	} {
		b.Run(fmt.Sprintf("tests=%d/files=%d/shards=%d/setups=%v/shuffled=%v", c.tests, c.files, c.shards, c.setups, c.shuffled), func(b *testing.B) {
			s := syntheticSuite(c.tests, c.files, c.setups)
			if c.shuffled {
				rand.New(rand.NewPCG(3, 4)).Shuffle(len(s.Tests), func(i, j int) { s.Tests[i], s.Tests[j] = s.Tests[j], s.Tests[i] })
			}
			b.ReportAllocs()
			var p *Plan
			for b.Loop() {
				var err error
				if p, err = Pack(s, Fleet{Shards: c.shards, CPUs: 4}); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(p.Makespan)/float64(p.Bound), "makespan/bound")
		})
	}
}

func BenchmarkPlanWrite(b *testing.B) {
	p, text := millionPlan(b)
	b.SetBytes(int64(len(text)))
	b.ReportAllocs()
	for b.Loop() {
		if err := p.Write(io.Discard); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkPlanRead(b *testing.B) {
	_, text := millionPlan(b)
	b.SetBytes(int64(len(text)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := ReadPlan(bytes.NewReader(text), "plan"); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkVerify(b *testing.B) {
	p, _ := millionPlan(b)
	results := completeResults(p)
	slices.Reverse(results)
	b.ReportAllocs()
	for b.Loop() {
		if v := Verify(p, results); !v.Complete() {
			b.Fatal("the verdict is incomplete")
		}
	}
}

// completeResults are the results of shards that all passed.
func completeResults(p *Plan) []*timing.Results {
	var out []*timing.Results
	for i := range p.Shards {
		s := &p.Shards[i]
		r := &timing.Results{
			Name:   "wcshard-results-" + s.Name + "-1.jsonl",
			Header: timing.ResultsHeader{Plan: p.Digest, Run: "1", Shards: []string{s.Name}, Attempt: 1, Workers: s.Workers},
			Ended:  true, Elapsed: s.Wall,
		}
		for _, id := range s.IDs() {
			r.Tests = append(r.Tests, timing.TestResult{ID: id, Worker: "main", Outcome: timing.Passed, Wall: time.Millisecond, Peak: 100 << 20})
		}
		out = append(out, r)
	}
	return out
}
