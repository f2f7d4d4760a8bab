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
	"unicode/utf8"

	"github.com/wcshard/wcshard/timing"
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
func (p *Plan) Write(w io.Writer) error {
	if err := p.valid(); err != nil {
		return fmt.Errorf("checking the plan: %w", err)
	}
	out := &planWriter{w: w, hash: sha256.New()}
	out.buf = p.appendHeader(out.buf)
	for i := range p.Shards {
		out.shard(&p.Shards[i], i == len(p.Shards)-1)
	}
	out.buf = append(out.buf, "],\n"...)
	out.flush()
	digest := "sha256:" + hex.EncodeToString(out.hash.Sum(nil))
	out.buf = append(out.buf, `"digest":"`+digest+"\"}\n"...)
	out.flush()
	if out.err != nil {
		return fmt.Errorf("writing the plan: %w", out.err)
	}
	p.Digest = digest
	return nil
}

// Seal sets p.Digest as Write would.
func (p *Plan) Seal() error { return p.Write(io.Discard) }

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
}

type planCollector struct {
	Args   []string `json:"args"`
	Pytest string   `json:"pytest"`
	Python string   `json:"python"`
	Xdist  string   `json:"xdist"`
	Root   string   `json:"root"`
	Seed   *int64   `json:"seed"`
	Order  string   `json:"order"`
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
}

type planShard struct {
	Name    string    `json:"name"`
	Kind    string    `json:"kind"`
	Runner  string    `json:"runner"`
	Workers int       `json:"workers"`
	Wall    int64     `json:"wall_us"`
	Peak    int64     `json:"peak_bytes"`
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
	b = fmt.Appendf(b, "\"makespan_us\":%d,\"bound_us\":%d,\n", h.Makespan, h.Bound)
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
		Wall: micros(s.Wall), Peak: s.Peak, Timeout: s.Timeout, Basis: planBasis(s.Basis),
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
	b = append(b, `,"tests":[`...)
	for i, t := range p.Tests {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendString(b, t)
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

// valid finds what no plan that Pack makes has, and no reader would accept.
func (p *Plan) valid() error {
	if len(p.Shards) == 0 {
		return errors.New("it has no shards")
	}
	if len(p.Shards) > MaxRows {
		return fmt.Errorf("it has %d shards, want at most %d", len(p.Shards), MaxRows)
	}
	if p.Makespan < 0 || p.Bound < 0 || p.Makespan%time.Microsecond != 0 || p.Bound%time.Microsecond != 0 {
		return fmt.Errorf("makespan %v or bound %v: want whole microseconds, at least 0", p.Makespan, p.Bound)
	}
	for _, s := range append([]string{p.Collector.Pytest, p.Collector.Python, p.Collector.Xdist, p.Collector.Root, p.Collector.Order, p.Fleet.Runner, p.Fleet.MemoryRunner}, p.Collector.Args...) {
		if !utf8.ValidString(s) {
			return fmt.Errorf("%q is not UTF-8", s)
		}
	}
	c := newPlanChecker()
	for i := range p.Shards {
		s := &p.Shards[i]
		if err := c.shard(s); err != nil {
			return err
		}
		for k := range s.Pieces {
			if err := c.piece(s, &s.Pieces[k]); err != nil {
				return err
			}
		}
		if err := c.end(s); err != nil {
			return err
		}
	}
	return c.apart(p)
}

// A planChecker holds what one shard of a plan may not have in common with
// another one.
type planChecker struct {
	names map[string]bool   // in lower case
	files map[string]string // file → the last shard with some of it
	cut   map[string]bool   // files in several shards
}

func newPlanChecker() *planChecker {
	return &planChecker{names: map[string]bool{}, files: map[string]string{}, cut: map[string]bool{}}
}

func (c *planChecker) shard(s *Shard) error {
	switch {
	case s.Name == "" || len(s.Name) > maxName || clean(s.Name) != s.Name || strings.Trim(s.Name, ".") == "":
		return fmt.Errorf("shard name %q: want 1 to %d of A-Z, a-z, 0-9, '.', '_', '-'", s.Name, maxName)
	case c.names[strings.ToLower(s.Name)]:
		return fmt.Errorf("two shards are named %q", s.Name)
	case s.Kind != Pool && s.Kind != Memory:
		return fmt.Errorf("shard %s is of kind %q, want %q or %q", s.Name, s.Kind, Pool, Memory)
	case s.Workers < 1 || s.Workers > maxWorkers:
		return fmt.Errorf("shard %s has %d workers, want 1 to %d", s.Name, s.Workers, maxWorkers)
	case s.Wall < 0 || s.Wall%time.Microsecond != 0 || s.Peak < 0:
		return fmt.Errorf("shard %s takes %v and %d bytes: want whole microseconds, at least 0", s.Name, s.Wall, s.Peak)
	case s.Timeout < 1:
		return fmt.Errorf("shard %s has a timeout of %d minutes, want at least 1", s.Name, s.Timeout)
	case s.Basis.Measured < 0 || s.Basis.Relatives < 0 || s.Basis.Guessed < 0:
		return fmt.Errorf("shard %s counts less than no tests", s.Name)
	case !utf8.ValidString(s.Runner):
		return fmt.Errorf("shard %s: runner %q is not UTF-8", s.Name, s.Runner)
	}
	c.names[strings.ToLower(s.Name)] = true
	return nil
}

func (c *planChecker) piece(s *Shard, p *Piece) error {
	switch {
	case strings.Contains(p.File, "::") || !utf8.ValidString(p.File):
		return fmt.Errorf("shard %s: file %q has \"::\" or is not UTF-8", s.Name, p.File)
	case c.files[p.File] == s.Name:
		return fmt.Errorf("shard %s has two pieces of %q", s.Name, p.File)
	case len(p.Tests) == 0:
		return fmt.Errorf("shard %s has no tests of %q", s.Name, p.File)
	}
	if c.files[p.File] != "" {
		c.cut[p.File] = true
	}
	c.files[p.File] = s.Name
	for _, t := range p.Tests {
		if p.File == "" && t == "" || t != "" && !strings.HasPrefix(t, "::") || !utf8.ValidString(t) {
			return fmt.Errorf("shard %s: test %q of %q does not start with \"::\" or is not UTF-8", s.Name, t, p.File)
		}
	}
	return nil
}

func (c *planChecker) end(s *Shard) error {
	n := s.Len()
	if n == 0 {
		return fmt.Errorf("shard %s has no tests", s.Name)
	}
	if b := s.Basis.Measured + s.Basis.Relatives + s.Basis.Guessed; b != n {
		return fmt.Errorf("shard %s has %d tests and estimates of %d", s.Name, n, b)
	}
	return nil
}

// apart checks that no test is in two shards. Only a file that is in several
// of them can have such tests.
func (c *planChecker) apart(p *Plan) error {
	in := map[timing.NodeID]string{}
	for i := range p.Shards {
		s := &p.Shards[i]
		for _, piece := range s.Pieces {
			if !c.cut[piece.File] {
				continue
			}
			for _, t := range piece.Tests {
				id := timing.NodeID(piece.File + t)
				if other := in[id]; other != "" && other != s.Name {
					return fmt.Errorf("%q is in shards %s and %s", id, other, s.Name)
				}
				in[id] = s.Name
			}
		}
	}
	return nil
}

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
	if err := r.check.apart(p); err != nil {
		return nil, &timing.SyntaxError{File: r.name, Msg: err.Error()}
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
			return r.errorf("written by a newer wcshard (version %d, this one reads %d)", h.Version, PlanVersion)
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
	if err := r.want(shardsLine); err != nil {
		return err
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
		Wall: duration(h.Wall), Peak: h.Peak, Timeout: h.Timeout, Basis: Basis(h.Basis),
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

// piece reads one line {"file":"…","tests":["…","…"]}. It is read by hand, as
// a large plan is nothing but such lines; the strings share the line's memory.
func (r *planReader) piece() (p Piece, more bool, err error) {
	line, err := r.line()
	if err != nil {
		return p, false, err
	}
	s := &pieceScanner{text: string(line)}
	s.word(`{"file":`)
	p.File = s.str()
	p.Cut = s.opt(`,"cut":true`)
	s.word(`,"tests":[`)
	p.Tests = make([]string, 0, strings.Count(s.text, `","`)+1)
	for {
		p.Tests = append(p.Tests, s.str())
		if s.bad || !s.opt(",") {
			break
		}
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
