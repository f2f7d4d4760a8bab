package timing

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"strconv"
	"time"
	"unicode/utf16"
	"unicode/utf8"
)

// maxNumber bounds every number in our files: 31 years of microseconds, a
// petabyte. Sums of a few stay far from overflow, also as time.Duration.
const maxNumber = 1e15

// mostTime is the longest time in a file. Four of it stay in range.
const mostTime = maxNumber * time.Microsecond

// lineDecoder reads one line of JSON whose shape is known beforehand. It is
// stricter than encoding/json (no duplicate or unknown keys, no other spelling
// of a key, no invalid UTF-8, whole numbers only) and ten times as fast, which
// a history of a million tests needs. The first error sticks and ends every
// loop; fuzz targets compare what it accepts with encoding/json.
type lineDecoder struct {
	b       []byte
	i       int
	msg     string // the error; "" while all is well
	scratch []byte // unescaped strings
}

func (d *lineDecoder) reset(line []byte) {
	d.b, d.i, d.msg = line, 0, ""
}

// failf records the first error with its column, which counts bytes from 1.
func (d *lineDecoder) failf(format string, args ...any) {
	if d.msg == "" {
		d.msg = fmt.Sprintf("column %d: ", d.i+1) + fmt.Sprintf(format, args...)
	}
}

func (d *lineDecoder) space() {
	for d.i < len(d.b) && (d.b[d.i] == ' ' || d.b[d.i] == '\t' || d.b[d.i] == '\r' || d.b[d.i] == '\n') {
		d.i++
	}
}

// next skips white space and returns the next byte without taking it, 0 at the
// end.
func (d *lineDecoder) next() byte {
	if d.i < len(d.b) && d.b[d.i] > ' ' {
		return d.b[d.i]
	}
	d.space()
	if d.i == len(d.b) {
		return 0
	}
	return d.b[d.i]
}

func (d *lineDecoder) expect(c byte) {
	if d.next() != c {
		d.failf("want %q, got %s", c, d.here())
		return
	}
	d.i++
}

// here names what stands at the cursor, for messages.
func (d *lineDecoder) here() string {
	if d.i >= len(d.b) {
		return "the end of the line"
	}
	r, _ := utf8.DecodeRune(d.b[d.i:])
	return strconv.QuoteRune(r)
}

// more reports whether another element of an object or array follows, and
// takes the comma before it or the closing byte. It starts with *n == 0 and
// counts elements there.
func (d *lineDecoder) more(closing byte, n *int) bool {
	if d.msg != "" {
		return false
	}
	c := d.next()
	if c == closing {
		d.i++
		return false
	}
	if *n > 0 {
		d.expect(',')
	}
	*n++
	return d.msg == ""
}

// end checks that nothing follows.
func (d *lineDecoder) end() {
	if d.msg == "" && d.next() != 0 || d.i < len(d.b) {
		d.failf("unexpected %s after the value", d.here())
	}
}

// key reads an object's key with its colon. The slice is valid until the next
// string is read.
func (d *lineDecoder) key() []byte {
	k := d.text()
	d.expect(':')
	return k
}

// plain marks the bytes that a JSON string holds as they are: not '"', '\\', a
// control character or part of a longer UTF-8 sequence.
var plain = func() (t [256]bool) {
	for c := ' '; c < utf8.RuneSelf; c++ {
		t[c] = c != '"' && c != '\\'
	}
	return t
}()

// text reads a string. The slice is valid until the next string is read.
func (d *lineDecoder) text() []byte {
	d.expect('"')
	if d.msg != "" {
		return nil
	}
	start, b := d.i, d.b
	i := start
	for i < len(b) && plain[b[i]] {
		i++
	}
	if i < len(b) && b[i] == '"' {
		d.i = i + 1
		return b[start:i]
	}
	return d.richText(start, i)
}

// richText finishes a string whose bytes up to i are plain.
func (d *lineDecoder) richText(start, i int) []byte {
	d.scratch = append(d.scratch[:0], d.b[start:i]...)
	for d.i = i; d.msg == ""; {
		if d.i >= len(d.b) {
			d.failf("unfinished string")
			break
		}
		switch c := d.b[d.i]; {
		case c == '"':
			d.i++
			return d.scratch
		case c == '\\':
			d.escape()
		case c < ' ':
			d.failf("control character %q in a string", c)
		case c < utf8.RuneSelf:
			d.scratch = append(d.scratch, c)
			d.i++
		default:
			r, size := utf8.DecodeRune(d.b[d.i:])
			if r == utf8.RuneError && size == 1 {
				d.failf("invalid UTF-8")
				break
			}
			d.scratch = append(d.scratch, d.b[d.i:d.i+size]...)
			d.i += size
		}
	}
	return nil
}

var escapes = [256]byte{'"': '"', '\\': '\\', '/': '/', 'b': '\b', 'f': '\f', 'n': '\n', 'r': '\r', 't': '\t'}

func (d *lineDecoder) escape() {
	if d.i+1 >= len(d.b) {
		d.failf("unfinished string")
		return
	}
	if c := escapes[d.b[d.i+1]]; c != 0 {
		d.scratch = append(d.scratch, c)
		d.i += 2
		return
	}
	r := d.unit(d.i)
	if r < 0 {
		d.failf("bad escape in a string")
		return
	}
	size := 6
	if utf16.IsSurrogate(r) {
		// Python writes characters beyond the basic plane as two units.
		r = utf16.DecodeRune(r, d.unit(d.i+6))
		size = 12
		if r == utf8.RuneError {
			d.failf("half a surrogate pair in a string")
			return
		}
	}
	d.scratch = utf8.AppendRune(d.scratch, r)
	d.i += size
}

// unit returns the UTF-16 unit written \uXXXX at i, or -1.
func (d *lineDecoder) unit(i int) rune {
	if i+6 > len(d.b) || d.b[i] != '\\' || d.b[i+1] != 'u' {
		return -1
	}
	var r rune
	for _, c := range d.b[i+2 : i+6] {
		switch {
		case '0' <= c && c <= '9':
			r = r<<4 | rune(c-'0')
		case 'a' <= c|0x20 && c|0x20 <= 'f':
			r = r<<4 | rune(c|0x20-'a'+10)
		default:
			return -1
		}
	}
	return r
}

// number reads a whole number between 0 and maxNumber.
func (d *lineDecoder) number() int64 {
	n := d.integer()
	if n < 0 {
		d.failf("negative number %d", n)
	}
	return n
}

// integer reads a whole number between -maxNumber and maxNumber.
func (d *lineDecoder) integer() int64 {
	negative := d.next() == '-'
	if negative {
		d.i++
	}
	start, n := d.i, int64(0)
	for d.i < len(d.b) && d.b[d.i]-'0' <= 9 && d.i-start < 17 {
		n = n*10 + int64(d.b[d.i]-'0')
		d.i++
	}
	switch {
	case d.i == start:
		d.failf("want a whole number, got %s", d.here())
	case d.b[start] == '0' && d.i > start+1:
		d.failf("a number with a leading zero")
	case n > maxNumber:
		d.failf("number beyond %d", int64(maxNumber))
	case d.i < len(d.b) && (d.b[d.i] == '.' || d.b[d.i]|0x20 == 'e'):
		d.failf("want a whole number, got a fraction or exponent")
	}
	if negative {
		return -n
	}
	return n
}

// seen notes that key number bit of an object was read, and fails when it is
// there twice.
func (d *lineDecoder) seen(keys *uint32, bit int, key string) {
	if *keys&(1<<bit) != 0 {
		d.failf("key %q twice", key)
	}
	*keys |= 1 << bit
}

// strings reads an array of strings.
func (d *lineDecoder) strings() []string {
	var list []string
	d.expect('[')
	for n := 0; d.more(']', &n); {
		list = append(list, string(d.text()))
	}
	return list
}

// appendString appends s as a JSON string. Unlike encoding/json it leaves
// <, > and & as they are, since our files are no web pages; invalid UTF-8
// becomes the replacement character.
func appendString(b []byte, s string) []byte {
	const hex = "0123456789abcdef"
	b = append(b, '"')
	start := 0
	for i := 0; i < len(s); {
		c := s[i]
		if plain[c] {
			i++
			continue
		}
		if c >= utf8.RuneSelf {
			r, size := utf8.DecodeRuneInString(s[i:])
			if r == utf8.RuneError && size == 1 {
				b = append(b, s[start:i]...)
				b = append(b, "\uFFFD"...)
				start = i + 1
			}
			i += size
			continue
		}
		b = append(b, s[start:i]...)
		switch c {
		case '"', '\\':
			b = append(b, '\\', c)
		case '\n':
			b = append(b, '\\', 'n')
		case '\t':
			b = append(b, '\\', 't')
		case '\r':
			b = append(b, '\\', 'r')
		default:
			b = append(b, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
		}
		i++
		start = i
	}
	b = append(b, s[start:]...)
	return append(b, '"')
}

// lineReader yields the lines of a file with their numbers, each at most max
// bytes long.
type lineReader struct {
	r    *bufio.Reader
	name string
	max  int
	line int    // number of the line that next returned
	long []byte // a line longer than the reader's buffer
}

func newLineReader(r io.Reader, name string, max int) *lineReader {
	return &lineReader{r: bufio.NewReaderSize(r, 1<<18), name: name, max: max}
}

// next returns the next line without its newline, and whether the newline was
// there. The slice is valid until the next call. At the end it returns io.EOF.
func (l *lineReader) next() (line []byte, whole bool, err error) {
	line, err = l.r.ReadSlice('\n')
	if errors.Is(err, bufio.ErrBufferFull) {
		l.long = l.long[:0]
		for errors.Is(err, bufio.ErrBufferFull) && len(l.long) <= l.max {
			l.long = append(l.long, line...)
			line, err = l.r.ReadSlice('\n')
		}
		l.long = append(l.long, line...)
		line = l.long
	}
	if err != nil && err != io.EOF && !errors.Is(err, bufio.ErrBufferFull) {
		return nil, false, fmt.Errorf("reading %s: %w", l.name, err)
	}
	if len(line) == 0 {
		return nil, false, io.EOF
	}
	l.line++
	if len(line) > l.max {
		return nil, false, l.syntaxError("line longer than %d bytes", l.max)
	}
	line, whole = bytes.CutSuffix(line, []byte("\n"))
	return line, whole, nil
}

func (l *lineReader) syntaxError(format string, args ...any) *SyntaxError {
	return &SyntaxError{File: l.name, Line: l.line, Msg: fmt.Sprintf(format, args...)}
}
