package shard

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"hash"
	"io"
	"unicode/utf8"
)

// MaxPlanBytes is the largest plan file that ReadPlan reads, unpacked. A
// million tests with IDs of 100 bytes take a tenth of it.
const MaxPlanBytes = 1 << 30

// Write writes the plan file and sets p.Digest.
//
// The file is one JSON value, laid out so that it reads well and differs line
// by line: a header, the shards, of each a line with what it is and then a
// line for each piece, and at the end the digest, which is the SHA-256 of all
// lines before its own. Equal plans are equal bytes.
//
// Where earlier predictions are known, "error" in the header says how far they
// were off: {"jobs":6,"median_permille":41,"ninth_permille":88}. A fleet has
// "memory_jobs" where a memory module may have several jobs, -1 for as many as
// pay.
func (p *Plan) Write(w io.Writer) error {
	if err := p.valid(); err != nil {
		return fmt.Errorf("checking the plan: %w", err)
	}
	out := &planWriter{w: w, hash: sha256.New()}
	out.buf = p.appendHeader(out.buf)
	for i := range p.Shards {
		out.shard(&p.Shards[i], i == len(p.Shards)-1)
	}
	out.buf = append(out.buf, lastShard+"\n"...)
	out.flush()
	digest := "sha256:" + hex.EncodeToString(out.hash.Sum(nil))
	out.buf = append(out.buf, digestKey+digest+"\"}\n"...)
	out.flush()
	if out.err != nil {
		return fmt.Errorf("writing the plan: %w", out.err)
	}
	p.Digest = digest
	return nil
}

type planWriter struct {
	w    io.Writer
	hash hash.Hash
	buf  []byte
	err  error
}

const flushAt = 256 << 10

func (w *planWriter) flush() {
	w.hash.Write(w.buf)
	if w.err == nil {
		_, w.err = w.w.Write(w.buf)
	}
	w.buf = w.buf[:0]
}

type planHeader struct {
	Wcshard   string        `json:"wcshard"`
	Version   int           `json:"version"`
	Collector planCollector `json:"collector"`
	Fleet     planFleet     `json:"fleet"`
	Makespan  int64         `json:"makespan_us"`
	Bound     int64         `json:"bound_us"`
	Error     *planError    `json:"error,omitempty"`
	Setups    []planSetup   `json:"setups,omitempty"`
}

type planError struct {
	Jobs   int `json:"jobs"`
	Median int `json:"median_permille"`
	Ninth  int `json:"ninth_permille"`
}

type planCollector struct {
	Args   []string `json:"args"`
	Pytest string   `json:"pytest"`
	Python string   `json:"python"`
	Xdist  string   `json:"xdist"`
	Root   string   `json:"root"`
	Folder string   `json:"folder,omitempty"`
	Seed   *int64   `json:"seed"`
	Order  string   `json:"order"`

	Conftests []string `json:"conftests,omitempty"`
	Places    []string `json:"places,omitempty"`

	LastPlaces []string `json:"last_places,omitempty"`

	Parameters []Parameters `json:"parameters,omitempty"`
}

type planFleet struct {
	Shards        int    `json:"shards"`
	Workers       int    `json:"workers"`
	MemoryWorkers int    `json:"memory_workers"`
	MaxMemoryJobs int    `json:"max_memory_jobs"`
	CPUs          int    `json:"cpus"`
	Memory        int64  `json:"memory_bytes"`
	Runner        string `json:"runner"`
	MemoryRunner  string `json:"memory_runner"`

	MemoryRunnerMemory int64   `json:"memory_runner_bytes,omitempty"`
	Reserve            int64   `json:"reserve_bytes,omitempty"`
	MemoryShare        float64 `json:"memory_share,omitempty"`
	MemoryJobs         int     `json:"memory_jobs,omitempty"`
}

type planSetup struct {
	ID     string `json:"id"`
	Cost   int64  `json:"cost_us"`
	Import bool   `json:"import,omitempty"`
}

type planShard struct {
	Name    string    `json:"name"`
	Kind    string    `json:"kind"`
	Runner  string    `json:"runner"`
	Workers int       `json:"workers"`
	Wall    int64     `json:"wall_us"`
	Peak    int64     `json:"peak_bytes"`
	Floor   int64     `json:"floor_bytes,omitempty"`
	Budget  int64     `json:"budget_bytes,omitempty"`
	Why     Why       `json:"why,omitempty"`
	Timeout int       `json:"timeout_minutes"`
	Basis   planBasis `json:"basis"`
}

type planBasis struct {
	Measured  int `json:"measured"`
	Relatives int `json:"relatives"`
	Guessed   int `json:"guessed"`
}

// The lines of a plan file between the pieces.
const (
	setupsKey  = `"setups":[`
	shardsLine = `"shards":[`
	piecesKey  = `,"pieces":[`
	lastPiece  = "]}"
	lastShard  = "],"
	digestKey  = `"digest":"`
)

// appendHeader appends the lines before the first shard: the header's keys one
// a line.
func (p *Plan) appendHeader(b []byte) []byte {
	b = append(b, '{', '\n')
	h := planHeader{
		Wcshard: "plan", Version: PlanVersion,
		Collector: planCollector(p.Collector),
		Fleet:     planFleet(p.Fleet),
		Makespan:  micros(p.Makespan), Bound: micros(p.Bound),
	}
	if h.Collector.Args == nil {
		h.Collector.Args = []string{}
	}
	b = fmt.Appendf(b, "\"wcshard\":%s,\"version\":%d,\n", encode(h.Wcshard), h.Version)
	b = fmt.Appendf(b, "\"collector\":%s,\n\"fleet\":%s,\n", encode(h.Collector), encode(h.Fleet))
	b = fmt.Appendf(b, "\"makespan_us\":%d,\"bound_us\":%d,", h.Makespan, h.Bound)
	if p.Error.Jobs > 0 {
		b = fmt.Appendf(b, "\"error\":%s,", encode(planError(p.Error)))
	}
	b = append(b, '\n')
	if len(p.Setups) > 0 {
		b = append(b, setupsKey...)
		for i, s := range p.Setups {
			if i > 0 {
				b = append(b, ',')
			}
			b = append(b, encode(planSetup{string(s.ID), micros(s.Cost), s.Import})...)
		}
		b = append(b, "],\n"...)
	}
	return append(b, shardsLine+"\n"...)
}

// encode returns v as compact JSON, HTML left as it is.
func encode(v any) []byte {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		panic(fmt.Sprintf("encoding a plan: %v", err)) // strings and numbers only
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n"))
}

func (s *Shard) line() planShard {
	return planShard{
		Name: s.Name, Kind: string(s.Kind), Runner: s.Runner, Workers: s.Workers,
		Wall: micros(s.Wall), Peak: s.Peak, Floor: s.Floor, Budget: s.Budget, Why: s.Why,
		Timeout: s.Timeout, Basis: planBasis(s.Basis),
	}
}

func (w *planWriter) shard(s *Shard, last bool) {
	head := encode(s.line())
	w.buf = append(w.buf, head[:len(head)-1]...)
	w.buf = append(w.buf, piecesKey+"\n"...)
	for i := range s.Pieces {
		w.buf = appendPiece(w.buf, &s.Pieces[i])
		if i < len(s.Pieces)-1 {
			w.buf = append(w.buf, ',')
		}
		w.buf = append(w.buf, '\n')
		if len(w.buf) >= flushAt {
			w.flush()
		}
	}
	w.buf = append(w.buf, lastPiece...)
	if !last {
		w.buf = append(w.buf, ',')
	}
	w.buf = append(w.buf, '\n')
}

func appendPiece(b []byte, p *Piece) []byte {
	b = appendString(append(b, `{"file":`...), p.File)
	if p.Cut {
		b = append(b, `,"cut":true`...)
	}
	if len(p.Units) > 0 {
		b = append(b, `,"units":[`...)
		for i, u := range p.Units {
			if i > 0 {
				b = append(b, ',')
			}
			b = appendInt(append(b, '['), int64(u.Unit))
			b = append(appendInt(append(b, ','), int64(u.Tests)), ']')
		}
		b = append(b, ']')
	}
	if len(p.Setups) > 0 {
		b = append(b, `,"setups":[`...)
		for i, run := range p.Setups {
			if i > 0 {
				b = append(b, ',')
			}
			b = appendInt(append(b, '['), int64(run.Tests))
			for _, s := range run.Setups {
				b = appendInt(append(b, ','), int64(s))
			}
			b = append(b, ']')
		}
		b = append(b, ']')
	}
	b = append(b, `,"tests":[`...)
	for i, t := range p.Tests {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendString(b, t)
	}
	if len(p.Needs) > 0 {
		b = append(b, `],"needs":[`...)
		for i, n := range p.Needs {
			if i > 0 {
				b = append(b, ',')
			}
			b = appendInt(append(b, '['), int64(n.Test))
			b = appendInt(append(b, ','), n.Need)
			b = appendInt(append(b, ','), n.Kept)
			if n.Low > 0 {
				b = appendInt(append(b, ','), n.Low)
			}
			b = append(b, ']')
		}
	}
	return append(b, "]}"...)
}

// appendString appends a JSON string. It escapes what JSON must have escaped,
// and DEL and the C1 controls too, which a terminal would obey.
func appendString(b []byte, s string) []byte {
	b = append(b, '"')
	from := 0
	for i := 0; i < len(s); {
		c := s[i]
		if c >= 0x20 && c < 0x7f && c != '"' && c != '\\' {
			i++
			continue
		}
		r, n := utf8.DecodeRuneInString(s[i:])
		if r >= 0xa0 {
			i += n
			continue
		}
		b = append(b, s[from:i]...)
		switch c {
		case '"', '\\':
			b = append(b, '\\', c)
		case '\n':
			b = append(b, `\n`...)
		case '\t':
			b = append(b, `\t`...)
		default:
			b = fmt.Appendf(b, `\u%04x`, r)
		}
		i += n
		from = i
	}
	return append(append(b, s[from:]...), '"')
}
