package actions

import (
	"fmt"
	"slices"
	"strings"
)

// MaxSummary is how long our summary of a step may get, in bytes. GitHub takes
// 1 MiB for each step and drops all of it above that; the rest is left to
// others that write to the same step's file.
const MaxSummary = 900 << 10

// maxCell is how many characters of a text are shown in a cell.
const maxCell = 300

const cutNote = "\n\n_The rest is left out: a summary has room for only so much. The log and `wcshard verify --json` have all._\n"

// Summary is a step summary in GitHub's Markdown, no longer than its limit.
// What no longer fits is left out from there on, a whole line at a time, and a
// note says so. The zero Summary has room for nothing; see [NewSummary].
type Summary struct {
	text strings.Builder
	room int
	cut  bool
}

// NewSummary returns an empty summary that may grow to limit bytes, at most
// [MaxSummary].
func NewSummary(limit int) *Summary {
	return &Summary{room: min(limit, MaxSummary) - len(cutNote)}
}

// String returns the Markdown; "" where there was not even room for the note.
func (s *Summary) String() string {
	switch {
	case s.room < 0:
		return ""
	case s.cut:
		return s.text.String() + cutNote
	}
	return s.text.String()
}

// add appends text whole or not at all.
func (s *Summary) add(text string) bool {
	if s.cut || s.text.Len()+len(text) > s.room {
		s.cut = true
		return false
	}
	s.text.WriteString(text)
	return true
}

// Inline is text that is safe to put into Markdown.
type Inline struct{ markup string }

// Text is words with no markup of their own.
func Text(format string, args ...any) Inline {
	return Inline{escapeMarkdown(fmt.Sprintf(format, args...))}
}

// Code is a name or a message that others made. It is shown as it is, in the
// font of code, where GitHub also looks for no @user and no #issue.
func Code(text string) Inline {
	if text == "" {
		return Inline{}
	}
	return Inline{"<code>" + escapeMarkdown(text) + "</code>"}
}

// Join puts parts one after another.
func Join(parts ...Inline) Inline {
	var all Inline
	for _, part := range parts {
		all.markup += part.markup
	}
	return all
}

// Heading adds a heading.
func (s *Summary) Heading(title Inline) {
	s.add("\n### " + title.markup + "\n")
}

// Paragraph adds a paragraph.
func (s *Summary) Paragraph(text Inline) {
	s.add("\n" + text.markup + "\n")
}

// List adds one item for each text.
func (s *Summary) List(items []Inline) {
	s.add("\n")
	for _, item := range items {
		s.add("* " + item.markup + "\n")
	}
}

// Column is the head of a table's column.
type Column struct {
	Name  string
	Right bool // numbers
}

// Table adds a table. A row has a cell for each column.
func (s *Summary) Table(columns []Column, rows [][]Inline) {
	head, rule := "\n|", "|"
	for _, c := range columns {
		head += " " + escapeMarkdown(c.Name) + " |"
		rule += map[bool]string{true: " ---: |", false: " --- |"}[c.Right]
	}
	s.add(head + "\n" + rule + "\n")
	for _, row := range rows {
		line := "|"
		for _, cell := range row {
			line += " " + cell.markup + " |"
		}
		s.add(line + "\n")
	}
}

// Shell adds lines to paste into a shell, in a block with GitHub's button to
// copy them.
func (s *Summary) Shell(lines []string) {
	fence := "```"
	visible := make([]string, len(lines))
	for i, line := range lines {
		visible[i] = Visible(line)
		for strings.Contains(visible[i], fence) {
			fence += "`"
		}
	}
	head, tail := "\n"+fence+"sh\n", fence+"\n"
	s.room -= len(tail) // the block can be closed wherever it is cut
	open := s.add(head)
	for _, line := range visible {
		s.add(line + "\n")
	}
	s.room += len(tail)
	if open {
		s.text.WriteString(tail)
	}
}

// escapeMarkdown makes text mean itself in Markdown and in HTML: every sign
// that could begin markup is written as a number, which neither takes for the
// sign itself. A break after each "@" keeps it from being a mail address.
func escapeMarkdown(text string) string {
	text = clip(Visible(text), maxCell)
	var b strings.Builder
	for _, r := range text {
		switch {
		case r == '@':
			b.WriteString("&#64;<wbr>")
		case r < 0x80 && !slices.Contains(plain, byte(r)):
			fmt.Fprintf(&b, "&#%d;", r)
		default:
			b.WriteRune(r)
		}
	}
	return b.String()
}

// plain is the ASCII that never begins markup inside a line.
var plain = []byte(" ,/=%0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz")
