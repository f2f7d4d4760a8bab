// Package patch writes changes of a few lines as a patch that git apply takes.
package patch

import (
	"bytes"
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Edit is a change of one place in a file: the lines that it takes away and
// those that come instead.
type Edit struct {
	Line   int      // the first line that goes, or before which lines come, from 1; one more than there are is the end
	Remove int      // how many lines go
	Insert []string // with their line ends
}

// context is how many lines around a change a patch shows.
const context = 3

// Diff returns the patch of one file. Its name is relative to where the patch
// is applied, with forward slashes; old is nil for a file that is not there
// yet. Edits at the same place keep their order; they must not overlap.
func Diff(name string, old []byte, edits []Edit) []byte {
	edits = slices.Clone(edits)
	slices.SortStableFunc(edits, func(a, b Edit) int { return cmp.Compare(a.Line, b.Line) })
	var b bytes.Buffer
	from, to := quote("a/"+name), quote("b/"+name)
	fmt.Fprintf(&b, "diff --git %s %s\n", from, to)
	if old == nil {
		fmt.Fprintf(&b, "new file mode 100644\n--- /dev/null\n")
	} else {
		fmt.Fprintf(&b, "--- %s%s\n", from, end(from))
	}
	fmt.Fprintf(&b, "+++ %s%s\n", to, end(to))
	lines := splitLines(old)
	grown := 0 // lines added by the hunks so far
	for len(edits) > 0 {
		n := 1
		for n < len(edits) && edits[n].Line-(edits[n-1].Line+edits[n-1].Remove) <= 2*context {
			n++
		}
		grown += hunk(&b, lines, edits[:n], grown)
		edits = edits[n:]
	}
	return b.Bytes()
}

// hunk writes edits that are near each other, and returns by how many lines
// the file grows.
func hunk(b *bytes.Buffer, lines []string, edits []Edit, grown int) int {
	last := edits[len(edits)-1]
	first := max(1, edits[0].Line-context)
	behind := min(len(lines)+1, last.Line+last.Remove+context) // the first line after the hunk
	var body bytes.Buffer
	at, more := first, 0
	keep := func(until int) {
		for ; at < until; at++ {
			write(&body, ' ', lines[at-1])
		}
	}
	for _, e := range edits {
		keep(e.Line)
		for range e.Remove {
			write(&body, '-', lines[at-1])
			at++
		}
		for _, line := range e.Insert {
			write(&body, '+', line)
		}
		more += len(e.Insert) - e.Remove
	}
	keep(behind)
	fmt.Fprintf(b, "@@ -%s +%s @@\n", span(first, behind-first), span(first+grown, behind-first+more))
	b.Write(body.Bytes())
	return more
}

// span names some lines as diff does: of none, the line before them.
func span(first, n int) string {
	if n == 0 {
		first--
	}
	return fmt.Sprintf("%d,%d", first, n)
}

func write(b *bytes.Buffer, sign byte, line string) {
	b.WriteByte(sign)
	b.WriteString(line)
	if !strings.HasSuffix(line, "\n") {
		b.WriteString("\n\\ No newline at end of file\n")
	}
}

// splitLines returns a file's lines with their ends.
func splitLines(text []byte) []string {
	if len(text) == 0 {
		return nil
	}
	lines := strings.SplitAfter(string(text), "\n")
	if lines[len(lines)-1] == "" {
		lines = lines[:len(lines)-1]
	}
	return lines
}

// quote writes a name as git does: as it is, or in quotes with its odd bytes in
// octal.
func quote(name string) string {
	odd := func(c byte) bool { return c < 0x20 || c >= 0x7f || c == '"' || c == '\\' }
	if !slices.ContainsFunc([]byte(name), odd) {
		return name
	}
	b := []byte{'"'}
	for i := range len(name) {
		switch c := name[i]; {
		case c == '"' || c == '\\':
			b = append(b, '\\', c)
		case odd(c):
			b = fmt.Appendf(b, `\%03o`, c)
		default:
			b = append(b, c)
		}
	}
	return string(append(b, '"'))
}

// end is what stands after a name with a space, where a time may follow.
func end(name string) string {
	if strings.Contains(name, " ") && name[0] != '"' {
		return "\t"
	}
	return ""
}
