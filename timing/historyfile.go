package timing

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"runtime"
	"slices"
	"strconv"
)

// HistoryVersion is the version of the history format that this package
// writes and reads.
const HistoryVersion = 1

// A history file is JSON lines. The header holds what the samples refer to:
//
//	{"wcshard":"timings","version":1,"columns":["source",…],"outcomes":["passed",…],"runs":[["gh-17",1795431600000]],"sources":[[1795431600000,"gh-17","ubuntu-latest"]],"lines":2}
//	{"id":"tests/test_a.py::test_x","s":[[0,0,120,4500,80,1900],[…]]}
//	{"kind":"file","id":"tests/test_a.py","s":[[0,0,250000]]}
//
// Then comes one line for each test, file import, fixture instance and kind of
// session, in this order and sorted by ID in bytes. A sample is a row of the
// columns without the zeros at its end. Everything has one spelling only, so
// equal histories are equal bytes. "lines" counts the lines after the header:
// a file cut between two lines is noticed.
var (
	historyColumns = []string{"source", "outcome", "setup_us", "call_us", "teardown_us", "other_us", "floor", "peak", "rise", "kept"}
	historyKeys    = []string{"columns", "outcomes", "runs", "sources", "lines"}
)

const (
	maxHistoryHeader = 64 << 20
	maxHistoryLine   = 8 << 20
)

// Write writes the history, ending in a newline. The bytes depend only on the
// set of samples.
func (h *History) Write(w io.Writer) error {
	bw := bufio.NewWriterSize(w, 1<<18)
	b := h.appendHeader(nil)
	for k, list := range h.series {
		for i := range list {
			if _, err := bw.Write(b); err != nil {
				return fmt.Errorf("writing timings: %w", err)
			}
			b = appendSeries(b[:0], kind(k), &list[i])
		}
	}
	if _, err := bw.Write(b); err != nil {
		return fmt.Errorf("writing timings: %w", err)
	}
	if err := bw.Flush(); err != nil {
		return fmt.Errorf("writing timings: %w", err)
	}
	return nil
}

func (h *History) appendHeader(b []byte) []byte {
	lines := 0
	for _, list := range h.series {
		lines += len(list)
	}
	b = append(b, `{"wcshard":"timings","version":`...)
	b = strconv.AppendInt(b, HistoryVersion, 10)
	b = append(b, `,"columns":`...)
	b = appendList(b, historyColumns, appendString)
	b = append(b, `,"outcomes":`...)
	b = appendList(b, outcomeNames(), appendString)
	b = append(b, `,"runs":`...)
	b = appendList(b, h.runs, func(b []byte, r runMark) []byte {
		b = appendString(append(b, '['), r.id)
		b = strconv.AppendInt(append(b, ','), r.mark, 10)
		return append(b, ']')
	})
	b = append(b, `,"sources":`...)
	b = appendList(b, h.sources, func(b []byte, s source) []byte {
		b = strconv.AppendInt(append(b, '['), s.started, 10)
		b = appendString(append(b, ','), s.run)
		b = appendString(append(b, ','), s.runner)
		return append(b, ']')
	})
	b = append(b, `,"lines":`...)
	b = strconv.AppendInt(b, int64(lines), 10)
	return append(b, '}', '\n')
}

func appendList[T any](b []byte, list []T, element func([]byte, T) []byte) []byte {
	b = append(b, '[')
	for i, e := range list {
		if i > 0 {
			b = append(b, ',')
		}
		b = element(b, e)
	}
	return append(b, ']')
}

func appendSeries(b []byte, k kind, s *series) []byte {
	b = append(b, '{')
	if k != testKind {
		b = append(b, `"kind":"`...)
		b = append(b, kindNames[k]...)
		b = append(b, `",`...)
	}
	b = append(b, `"id":`...)
	b = appendString(b, s.id)
	b = append(b, `,"s":[`...)
	for i := range s.samples {
		if i > 0 {
			b = append(b, ',')
		}
		b = s.samples[i].appendRow(b)
	}
	return append(b, ']', '}', '\n')
}

func (a *sample) appendRow(b []byte) []byte {
	row := [...]int64{a.setup, a.call, a.teardown, a.other, a.floor, a.peak, a.rise, a.kept}
	n := len(row)
	for n > 0 && row[n-1] == 0 {
		n--
	}
	b = strconv.AppendInt(append(b, '['), int64(a.source), 10)
	b = strconv.AppendInt(append(b, ','), int64(a.outcome), 10)
	for _, v := range row[:n] {
		b = strconv.AppendInt(append(b, ','), v, 10)
	}
	return append(b, ']')
}

// ReadHistory reads a history file; name is the file's name for messages. Bad
// input is a *SyntaxError: a history is written whole or not at all, so a torn
// one is not used.
func ReadHistory(r io.Reader, name string) (*History, error) {
	h, err := readHistory(r, name)
	if err != nil {
		return nil, fmt.Errorf("reading timings: %w", err)
	}
	return h, nil
}

func readHistory(r io.Reader, name string) (*History, error) {
	lines := newLineReader(r, name, maxHistoryHeader)
	line, _, err := lines.next()
	if err == io.EOF {
		return nil, &SyntaxError{File: name, Msg: "empty file, want a timings header"}
	}
	if err != nil {
		return nil, err
	}
	h := &History{}
	var d lineDecoder
	d.reset(line)
	want := h.header(&d)
	if d.msg != "" {
		return nil, lines.syntaxError("%s", d.msg)
	}
	blocks := readBlocks(lines.r, name, len(h.sources))
	if err := h.join(blocks, name, want); err != nil {
		return nil, err
	}
	return h, nil
}

// header reads the first line and returns the number of lines after it.
func (h *History) header(d *lineDecoder) int {
	lines := int64(0)
	d.version("timings", HistoryVersion)
	d.fields(historyKeys, len(historyKeys), func(i int) {
		switch key := historyKeys[i]; key {
		case "columns":
			d.wantList(key, historyColumns)
		case "outcomes":
			d.wantList(key, outcomeNames())
		case "runs":
			h.runs = d.runs()
		case "sources":
			h.sources = d.sources()
		case "lines":
			lines = d.number()
		}
	})
	return int(lines)
}

func outcomeNames() []string {
	names := make([]string, len(outcomes))
	for i, o := range outcomes {
		names[i] = string(o)
	}
	return names
}

func (d *lineDecoder) wantList(key string, want []string) {
	if got := d.strings(); d.msg == "" && !slices.Equal(got, want) {
		d.failf("%s are %q, want %q", key, got, want)
	}
}

func (d *lineDecoder) runs() []runMark {
	var list []runMark
	ids := map[string]bool{}
	d.expect('[')
	for n := 0; d.more(']', &n); {
		var r runMark
		d.expect('[')
		r.id = string(d.text())
		d.expect(',')
		r.mark = d.number()
		d.expect(']')
		if len(list) > 0 && list[len(list)-1].compare(r) > 0 || ids[r.id] {
			d.failf("run %q is out of order", r.id)
		}
		ids[r.id] = true
		list = append(list, r)
	}
	return list
}

func (d *lineDecoder) sources() []source {
	var list []source
	names := map[string]string{}
	name := func() string {
		b := d.text()
		if _, ok := names[string(b)]; !ok {
			names[string(b)] = string(b)
		}
		return names[string(b)]
	}
	d.expect('[')
	for n := 0; d.more(']', &n); {
		var s source
		d.expect('[')
		s.started = d.number()
		d.expect(',')
		s.run = name()
		d.expect(',')
		s.runner = name()
		d.expect(']')
		if len(list) > 0 && list[len(list)-1].compare(s) >= 0 {
			d.failf("source %d is out of order", len(list))
		}
		list = append(list, s)
	}
	if len(list) > math.MaxInt32 {
		d.failf("more than %d sources", math.MaxInt32)
	}
	return list
}

// block is some whole lines of a history file, and what they say.
type block struct {
	text  []byte
	line  int           // number of the first line
	done  chan struct{} // closed when the fields below are there
	kinds [kinds][]series
	err   error
}

// blockSize is large enough that handing blocks over costs nothing, and small
// enough that the few in flight are little memory.
const blockSize = 1 << 20

// readBlocks cuts the rest of a file into blocks at line ends and reads
// several at once. It sends them in the file's order; the last may bear an
// error of r.
func readBlocks(r io.Reader, name string, sources int) <-chan *block {
	workers := runtime.GOMAXPROCS(0)
	work := make(chan *block)
	ordered := make(chan *block, 2*workers)
	spare := make(chan []byte, workers+2) // buffers of blocks that have been read, one for each that may be under way
	for range cap(spare) {
		spare <- nil
	}
	for range workers {
		go func() {
			p := blockReader{name: name, sources: sources}
			for b := range work {
				p.read(b)
				spare <- b.text[:0]
				b.text = nil
				close(b.done)
			}
		}()
	}
	go func() {
		defer close(ordered)
		defer close(work)
		line := 2
		var rest []byte
		for {
			b := &block{line: line, done: make(chan struct{})}
			var err error
			b.text, rest, err = nextBlock(r, rest, <-spare)
			line += bytes.Count(b.text, []byte("\n"))
			if err == io.EOF && len(b.text) == 0 {
				return
			}
			if err != nil && err != io.EOF {
				if !errors.Is(err, errLongLine) {
					b.err = fmt.Errorf("reading %s: %w", name, err)
				} else {
					b.err = &SyntaxError{File: name, Line: line, Msg: err.Error()}
				}
				close(b.done)
				ordered <- b
				return
			}
			ordered <- b
			work <- b
			if err == io.EOF {
				return
			}
		}
	}()
	return ordered
}

var errLongLine = fmt.Errorf("line longer than %d bytes", maxHistoryLine)

// nextBlock returns whole lines, the first of which begins with start, and
// what follows the last newline. It reads into buf.
func nextBlock(r io.Reader, start, buf []byte) (text, rest []byte, err error) {
	buf = append(slices.Grow(buf, max(blockSize, 2*len(start))), start...)
	for {
		n, err := io.ReadFull(r, buf[len(buf):cap(buf)])
		from := len(buf)
		buf = buf[:from+n]
		if err == io.EOF || err == io.ErrUnexpectedEOF {
			return buf, nil, io.EOF
		}
		if err != nil {
			return buf, nil, err
		}
		if i := bytes.LastIndexByte(buf[from:], '\n'); i >= 0 {
			return buf[:from+i+1], bytes.Clone(buf[from+i+1:]), nil
		}
		if len(buf) > maxHistoryLine {
			return nil, nil, errLongLine
		}
		buf = slices.Grow(buf, len(buf))
	}
}

// blockReader reads blocks; it holds what blocks can share.
type blockReader struct {
	d       lineDecoder
	name    string
	sources int
	ids     []byte
	starts  []int // of each line's ID in ids
}

func (p *blockReader) read(b *block) {
	lines := bytes.Count(b.text, []byte("\n")) + 1
	samples := make([]sample, 0, lines+bytes.Count(b.text, []byte("],[")))
	list := make([]series, 0, lines)
	p.ids, p.starts = p.ids[:0], p.starts[:0]
	var borders [kinds + 1]int // where each kind's lines begin
	last := kind(0)
	for text := b.text; len(text) > 0; {
		line, rest, _ := bytes.Cut(text, []byte("\n"))
		text = rest
		p.d.reset(line)
		p.starts = append(p.starts, len(p.ids))
		from := len(samples)
		var k kind
		k, samples = p.series(samples)
		if p.d.msg == "" && k < last {
			p.d.failf("line is out of order")
		}
		if p.d.msg != "" {
			b.err = &SyntaxError{File: p.name, Line: b.line + len(list), Msg: p.d.msg}
			return
		}
		for ; last < k; last++ {
			borders[last+1] = len(list)
		}
		list = append(list, series{samples: samples[from:len(samples):len(samples)]})
	}
	for ; last < kinds; last++ {
		borders[last+1] = len(list)
	}
	ids := string(p.ids) // one string for all IDs of the block
	p.starts = append(p.starts, len(ids))
	for i := range list {
		list[i].id = ids[p.starts[i]:p.starts[i+1]]
	}
	for k := range b.kinds {
		b.kinds[k] = list[borders[k]:borders[k+1]]
		if i := unsorted(b.kinds[k]); i > 0 {
			b.err = &SyntaxError{File: p.name, Line: b.line + borders[k] + i, Msg: "line is out of order"}
			return
		}
	}
}

// unsorted returns the first index whose ID does not come after the one before
// it, 0 when there is none.
func unsorted(list []series) int {
	for i := 1; i < len(list); i++ {
		if list[i-1].id >= list[i].id {
			return i
		}
	}
	return 0
}

// series reads one line: its ID goes to p.ids, its samples are appended.
func (p *blockReader) series(samples []sample) (kind, []sample) {
	d := &p.d
	k := testKind
	d.expect('{')
	key := d.key()
	if string(key) == "kind" {
		name := d.text()
		k = kind(slices.Index(kindNames[1:], string(name)) + 1)
		if d.msg == "" && k == testKind {
			d.failf("unknown kind %q", name)
		}
		d.expect(',')
		key = d.key()
	}
	if d.msg == "" && string(key) != "id" {
		d.failf("want key \"id\", got %q", key)
	}
	p.ids = append(p.ids, d.text()...)
	d.expect(',')
	if key := d.key(); d.msg == "" && string(key) != "s" {
		d.failf("want key \"s\", got %q", key)
	}
	d.expect('[')
	from := len(samples)
	for n := 0; d.more(']', &n); {
		samples = append(samples, p.sample())
		if i := len(samples) - 1; i > from && d.msg == "" && samples[i-1].compare(&samples[i]) >= 0 {
			d.failf("sample %d is out of order", n)
		}
	}
	if d.msg == "" && len(samples) == from {
		d.failf("no samples")
	}
	d.expect('}')
	d.end()
	return k, samples
}

// rowLen is the number of columns.
const rowLen = 10

func (p *blockReader) sample() sample {
	d := &p.d
	var row [rowLen]int64
	n := d.fastRow(&row)
	if n == 0 {
		n = d.row(&row)
	}
	switch {
	case d.msg != "":
	case n < 2:
		d.failf("a sample of %d numbers, want at least 2", n)
	case row[0] >= int64(p.sources):
		d.failf("source %d of %d", row[0], p.sources)
	case row[1] >= int64(len(outcomes)):
		d.failf("outcome %d of %d", row[1], len(outcomes))
	case n > 2 && row[n-1] == 0:
		d.failf("a zero at the end of a sample")
	default:
		return sample{
			source: int32(row[0]), outcome: int8(row[1]),
			setup: row[2], call: row[3], teardown: row[4], other: row[5],
			floor: row[6], peak: row[7], rise: row[8], kept: row[9],
		}
	}
	return sample{}
}

// row reads an array of numbers and returns how many there are.
func (d *lineDecoder) row(row *[rowLen]int64) int {
	n := 0
	d.expect('[')
	for d.more(']', &n) {
		if n > len(row) {
			d.failf("a sample of more than %d numbers", len(row))
			break
		}
		row[n-1] = d.number()
	}
	return n
}

// fastRow does what row does, for a row spelled just as Write spells it; for
// any other it takes nothing and returns 0. Nearly all of a history is rows:
// this halves the time of reading one.
func (d *lineDecoder) fastRow(row *[rowLen]int64) int {
	const sure = 15 // digits that make no more than maxNumber
	b, i := d.b, d.i
	if i >= len(b) || b[i] != '[' {
		return 0
	}
	i++
	for n := range row {
		start, v := i, int64(0)
		for i < len(b) && b[i]-'0' <= 9 {
			v = v*10 + int64(b[i]-'0')
			i++
		}
		if i == start || i >= len(b) || i-start > sure || b[start] == '0' && i-start > 1 {
			return 0
		}
		row[n] = v
		i++
		switch b[i-1] {
		case ',':
		case ']':
			d.i = i
			return n + 1
		default:
			return 0
		}
	}
	return 0
}

// join puts the blocks together; want is the number of lines there should be.
func (h *History) join(blocks <-chan *block, name string, want int) error {
	var err error
	lines := 0
	last := kind(0)
	for b := range blocks {
		<-b.done
		if err != nil {
			continue // let the readers end
		}
		err = b.err
		for k, list := range b.kinds {
			if err != nil || len(list) == 0 {
				continue
			}
			all := h.series[k]
			if kind(k) < last || len(all) > 0 && all[len(all)-1].id >= list[0].id {
				err = &SyntaxError{File: name, Line: lines + 2, Msg: "line is out of order"}
				continue
			}
			if all == nil {
				all = make([]series, 0, max(len(list), min(want-lines, 1<<20)))
			}
			h.series[k] = append(all, list...)
			last = kind(k)
			lines += len(list)
		}
	}
	if err == nil && lines != want {
		err = &SyntaxError{File: name, Line: lines + 1, Msg: fmt.Sprintf("%d lines after the header, want %d: the file is cut or was edited", lines, want)}
	}
	return err
}
