package actions

import (
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Visible returns text on one line in which all that cannot be seen (control
// characters, line ends, marks that turn the direction of writing, bytes that
// are no UTF-8) is shown as Go would write it.
func Visible(text string) string {
	var b strings.Builder
	for i, r := range text {
		switch {
		case r == utf8.RuneError && !strings.HasPrefix(text[i:], "\uFFFD"):
			fmt.Fprintf(&b, `\x%02x`, text[i])
		case strconv.IsPrint(r):
			b.WriteRune(r)
		default:
			quoted := strconv.QuoteRune(r)
			b.WriteString(quoted[1 : len(quoted)-1])
		}
	}
	return b.String()
}

// clip shortens text to a number of characters.
func clip(text string, most int) string {
	n := 0
	for i := range text {
		if n++; n == most {
			if rest := text[i:]; utf8.RuneCountInString(rest) > 1 {
				return text[:i] + "…"
			}
		}
	}
	return text
}
