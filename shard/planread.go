package shard

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/wcshard/wcshard/timing"
)

// ReadPlan reads a plan file as Write writes it, byte for byte. name stands
// for the file in errors.
//
// It trusts nothing: a file that is not exactly what Write makes of the plan
// in it, that was changed after it was written, that comes from a newer
// version, or that is larger than MaxPlanBytes is a *timing.SyntaxError.
func ReadPlan(r io.Reader, name string) (*Plan, error) {
	return readPlan(r, name, MaxPlanBytes)
}

func readPlan(r io.Reader, name string, most int64) (*Plan, error) {
	in := &planReader{r: bufio.NewReaderSize(r, 64<<10), name: name, left: most, hash: sha256.New(), check: newPlanChecker()}
	return in.plan()
}

type planReader struct {
	r     *bufio.Reader
	name  string
	n     int    // lines read
	left  int64  // bytes that may still come
	raw   []byte // the last line, with its line feed, until it is hashed
	hash  hash.Hash
	heads []int // the line of each shard's head
	check *planChecker
}

func (r *planReader) errorf(format string, args ...any) error {
	return &timing.SyntaxError{File: r.name, Line: r.n, Msg: fmt.Sprintf(format, args...)}
}

// line returns the next line without its line feed. It counts for the digest
// when the next one is read.
func (r *planReader) line() ([]byte, error) {
	r.hash.Write(r.raw)
	r.raw = r.raw[:0]
	for {
		part, err := r.r.ReadSlice('\n')
		r.raw = append(r.raw, part...)
		if r.left -= int64(len(part)); r.left < 0 {
			r.n++
			return nil, r.errorf("the plan is too large, want at most %d bytes", MaxPlanBytes)
		}
		if err == bufio.ErrBufferFull {
			continue
		}
		if err == io.EOF {
			if len(r.raw) == 0 && r.n == 0 {
				return nil, r.errorf("the file is empty, want a plan")
			}
			r.n++
			return nil, r.errorf("the file ends early")
		}
		if err != nil {
			return nil, fmt.Errorf("reading %s: %w", r.name, err)
		}
		r.n++
		return r.raw[:len(r.raw)-1], nil
	}
}

func (r *planReader) plan() (*Plan, error) {
	p := &Plan{}
	if err := r.header(p); err != nil {
		return nil, err
	}
	for more := true; more; {
		if len(p.Shards) == MaxRows {
			return nil, r.errorf("more than %d shards", MaxRows)
		}
		s, last, err := r.shard()
		if err != nil {
			return nil, err
		}
		p.Shards = append(p.Shards, s)
		more = !last
	}
	if err := r.want(lastShard); err != nil {
		return nil, err
	}
	line, err := r.line()
	if err != nil {
		return nil, err
	}
	want := "sha256:" + hex.EncodeToString(r.hash.Sum(nil))
	if string(line) != digestKey+want+`"}` {
		return nil, r.errorf("the plan has been changed since it was written: its digest is not %s", want)
	}
	if _, err := r.r.ReadByte(); err == nil {
		r.n++
		return nil, r.errorf("there is more after the plan")
	} else if err != io.EOF {
		return nil, fmt.Errorf("reading %s: %w", r.name, err)
	}
	if shard, piece, err := r.check.apart(p); err != nil {
		r.n = r.heads[shard] + 1 + piece // each piece is a line
		return nil, r.errorf("%v", err)
	}
	p.Digest = want
	return p, nil
}

// want reads one line that must be as given.
func (r *planReader) want(text string) error {
	line, err := r.line()
	if err != nil {
		return err
	}
	if string(line) != text {
		return r.errorf("got %s, want %s", excerpt(line), text)
	}
	return nil
}

// excerpt quotes the beginning of a line for a message.
func excerpt(line []byte) string {
	const most = 60
	if len(line) > most {
		return strconv.QuoteToASCII(string(line[:most])) + "…"
	}
	return strconv.QuoteToASCII(string(line))
}

func (r *planReader) header(p *Plan) error {
	if err := r.want("{"); err != nil {
		return err
	}
	var h planHeader
	text := []byte("{\n")
	for i, key := range []string{`"wcshard":`, `"collector":`, `"fleet":`, `"makespan_us":`} {
		line, err := r.line()
		if err != nil {
			return err
		}
		body, ok := bytes.CutSuffix(line, []byte(","))
		if !ok || !bytes.HasPrefix(body, []byte(key)) {
			return r.errorf("got %s, want %s of a plan", excerpt(line), key)
		}
		if err := decode(slices.Concat([]byte("{"), body, []byte("}")), &h); err != nil {
			return r.errorf("reading the header: %v", err)
		}
		text = append(append(text, line...), '\n')
		if i > 0 {
			continue
		}
		if h.Wcshard != "plan" {
			return r.errorf("it is %q, want \"plan\"", h.Wcshard)
		}
		if h.Version > PlanVersion {
			return r.errorf("%s", timing.NewerVersion(int64(h.Version), PlanVersion))
		}
		if h.Version != PlanVersion {
			return r.errorf("version is %d, want %d", h.Version, PlanVersion)
		}
	}
	const most = int64(maxTotal / time.Microsecond)
	if h.Makespan < 0 || h.Makespan > most || h.Bound < 0 || h.Bound > most {
		return r.errorf("makespan or bound is not between 0 and %d", most)
	}
	p.Collector = Collector(h.Collector)
	if len(p.Collector.Args) == 0 {
		p.Collector.Args = nil
	}
	p.Fleet = Fleet(h.Fleet)
	p.Makespan, p.Bound = duration(h.Makespan), duration(h.Bound)
	if err := p.Fleet.inRange(); err != nil {
		return r.errorf("%v", err)
	}
	if h.Error != nil {
		p.Error = Error(*h.Error)
	}
	if err := p.Error.inRange(); err != nil {
		return r.errorf("%v", err)
	}
	line, err := r.line()
	if err != nil {
		return err
	}
	if body, ok := bytes.CutSuffix(line, []byte(",")); ok && bytes.HasPrefix(body, []byte(setupsKey)) {
		if err := decode(slices.Concat([]byte("{"), body, []byte("}")), &h); err != nil {
			return r.errorf("reading the set-ups: %v", err)
		}
		text = append(append(text, line...), '\n')
		for _, s := range h.Setups {
			if s.Cost < 0 || s.Cost > most {
				return r.errorf("set-up %q takes %d µs, want 0 to %d", s.ID, s.Cost, most)
			}
			p.Setups = append(p.Setups, Setup{timing.SetupID(s.ID), duration(s.Cost), s.Import})
		}
		r.check.setups = len(p.Setups)
		if line, err = r.line(); err != nil {
			return err
		}
	}
	if string(line) != shardsLine {
		return r.errorf("got %s, want %s", excerpt(line), shardsLine)
	}
	text = append(text, shardsLine+"\n"...)
	if !bytes.Equal(text, p.appendHeader(nil)) {
		return r.errorf("the header is not as wcshard writes it")
	}
	return nil
}

// decode is strict JSON: no unknown keys, nothing after the value.
func decode(text []byte, v any) error {
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		return err
	}
	if _, err := d.Token(); err != io.EOF {
		return errors.New("more than one value")
	}
	return nil
}

func (r *planReader) shard() (s Shard, last bool, err error) {
	line, err := r.line()
	if err != nil {
		return s, false, err
	}
	r.heads = append(r.heads, r.n)
	head, ok := bytes.CutSuffix(line, []byte(piecesKey))
	if !ok {
		return s, false, r.errorf("got %s, want a shard", excerpt(line))
	}
	text := append(bytes.Clone(head), '}')
	var h planShard
	if err := decode(text, &h); err != nil {
		return s, false, r.errorf("reading a shard: %v", err)
	}
	if !bytes.Equal(encode(h), text) {
		return s, false, r.errorf("a shard is not as wcshard writes it")
	}
	if h.Wall < 0 || h.Wall > int64(maxTotal/time.Microsecond) {
		return s, false, r.errorf("shard %q takes %d µs, want 0 to %v", h.Name, h.Wall, maxTotal)
	}
	s = Shard{
		Name: h.Name, Kind: Kind(h.Kind), Runner: h.Runner, Workers: h.Workers,
		Wall: duration(h.Wall), Peak: h.Peak, Floor: h.Floor, Budget: h.Budget, Why: h.Why,
		Timeout: h.Timeout, Basis: Basis(h.Basis),
	}
	if err := r.check.shard(&s); err != nil {
		return s, false, r.errorf("%v", err)
	}
	for more := true; more; {
		var p Piece
		p, more, err = r.piece()
		if err != nil {
			return s, false, err
		}
		if err := r.check.piece(&s, &p); err != nil {
			return s, false, r.errorf("%v", err)
		}
		s.Pieces = append(s.Pieces, p)
	}
	if err := r.check.end(&s); err != nil {
		return s, false, r.errorf("%v", err)
	}
	line, err = r.line()
	if err != nil {
		return s, false, err
	}
	switch string(line) {
	case lastPiece:
		return s, true, nil
	case lastPiece + ",":
		return s, false, nil
	}
	return s, false, r.errorf("got %s, want the end of shard %s", excerpt(line), s.Name)
}

// piece reads one line
//
//	{"file":"…","cut":true,"units":[[1,2]],"setups":[[2,0]],"tests":["…","…"],"needs":[[1,2,3]]}
//
// by hand, as a large plan is nothing but such lines; the strings share its memory.
func (r *planReader) piece() (p Piece, more bool, err error) {
	line, err := r.line()
	if err != nil {
		return p, false, err
	}
	s := &pieceScanner{text: string(line)}
	s.word(`{"file":`)
	p.File = s.str()
	p.Cut = s.opt(`,"cut":true`)
	if s.opt(`,"units":[`) {
		p.Units = s.units()
	}
	if s.opt(`,"setups":[`) {
		p.Setups = s.setups()
	}
	s.word(`,"tests":[`)
	p.Tests = make([]string, 0, strings.Count(s.text, `","`)+1)
	for {
		p.Tests = append(p.Tests, s.str())
		if s.bad || !s.opt(",") {
			break
		}
	}
	if s.opt(`],"needs":[`) {
		p.Needs = s.needs()
	}
	s.word("]}")
	more = s.opt(",")
	if s.bad || s.text != "" {
		return p, false, r.errorf("got %s, want a file and its tests as wcshard writes them", excerpt(line))
	}
	return p, more, nil
}

// A pieceScanner takes tokens off the front of a text.
type pieceScanner struct {
	text string
	bad  bool
}

func (s *pieceScanner) opt(word string) bool {
	rest, ok := strings.CutPrefix(s.text, word)
	if ok {
		s.text = rest
	}
	return ok
}

func (s *pieceScanner) word(word string) {
	if !s.opt(word) {
		s.bad = true
	}
}

// units takes a list of runs; there is at least one.
func (s *pieceScanner) units() []UnitRun {
	var list []UnitRun
	for {
		var u UnitRun
		s.word("[")
		u.Unit = int(s.number())
		s.word(",")
		u.Tests = int(s.number())
		s.word("]")
		list = append(list, u)
		if s.bad || !s.opt(",") {
			s.word("]")
			return list
		}
	}
}

// setups takes a list of runs; there is at least one.
func (s *pieceScanner) setups() []SetupRun {
	var list []SetupRun
	for {
		var run SetupRun
		s.word("[")
		run.Tests = int(s.number())
		for s.opt(",") {
			run.Setups = append(run.Setups, int(s.number()))
		}
		s.word("]")
		list = append(list, run)
		if s.bad || !s.opt(",") {
			s.word("]")
			return list
		}
	}
}

// needs takes the elements of a list of needs; there is at least one.
func (s *pieceScanner) needs() []TestNeed {
	list := make([]TestNeed, 0, strings.Count(s.text, "],[")+1)
	for {
		var n TestNeed
		s.word("[")
		n.Test = int(s.number())
		s.word(",")
		n.Need = s.number()
		s.word(",")
		n.Kept = s.number()
		if s.opt(",") {
			n.Low = s.number()
			s.bad = s.bad || n.Low == 0
		}
		s.word("]")
		list = append(list, n)
		if s.bad || !s.opt(",") {
			return list
		}
	}
}

// number takes a whole number of at most maxBytes, as appendInt writes it.
func (s *pieceScanner) number() int64 {
	end := 0
	for end < len(s.text) && isDigit(s.text[end]) {
		end++
	}
	raw := s.text[:end]
	s.text = s.text[end:]
	n, err := strconv.ParseInt(raw, 10, 64)
	if err != nil || n > maxBytes || len(raw) > 1 && raw[0] == '0' {
		s.bad = true
		return 0
	}
	return n
}

// str takes a string in the one spelling that appendString has for it.
func (s *pieceScanner) str() string {
	if s.bad || !s.opt(`"`) {
		s.bad = true
		return ""
	}
	end, plain := 0, true
	for end < len(s.text) && s.text[end] != '"' {
		if c := s.text[end]; c == '\\' {
			plain = false
			end++
		} else if c < 0x20 || c >= 0x7f {
			plain = false
		}
		end++
	}
	if end >= len(s.text) {
		s.bad = true
		return ""
	}
	raw := s.text[:end]
	s.text = s.text[end+1:]
	if plain {
		return raw
	}
	var out string
	if err := json.Unmarshal([]byte(`"`+raw+`"`), &out); err != nil {
		s.bad = true
		return ""
	}
	if spelt := appendString(nil, out); string(spelt[1:len(spelt)-1]) != raw {
		s.bad = true
	}
	return out
}
