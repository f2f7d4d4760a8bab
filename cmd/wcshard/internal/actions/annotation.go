package actions

import (
	"fmt"
	"io"
	"strings"
)

// MaxAnnotations is how many error annotations of one step GitHub shows.
const MaxAnnotations = 10

// What GitHub keeps of an annotation (REST, check runs): 255 characters of a
// title, 64 KB of a message. Ours is a line or two.
const (
	maxTitle   = 255
	maxMessage = 4096
)

// Annotation is an error that GitHub shows at a line of a file.
type Annotation struct {
	File    string // relative to the repository, with forward slashes; "" for none
	Line    int    // from 1; 0 for none
	Title   string
	Message string // may have several lines
}

// WriteAnnotations writes annotations as workflow commands, one a line:
//
//	::error file=tests/test_a.py,line=7,title=tests/test_a.py%3A%3Atest_one::assert 1 == 2
//
// Whatever is in the texts, a line stays one command and its parts stay in
// their places: they are escaped as the runner's toolkit does, and what cannot
// be printed is shown as Go would write it. Control characters can no more
// reach the log than line ends that only some programs take for one.
func WriteAnnotations(w io.Writer, all []Annotation) error {
	var text strings.Builder
	for _, a := range all {
		text.WriteString("::error")
		separator := " "
		property := func(name, value string) {
			if value != "" {
				text.WriteString(separator + name + "=" + escapeProperty(value))
				separator = ","
			}
		}
		property("file", Visible(a.File))
		if a.File != "" && a.Line > 0 {
			property("line", fmt.Sprint(a.Line))
		}
		property("title", clip(Visible(a.Title), maxTitle))
		lines := strings.Split(a.Message, "\n")
		for i := range lines {
			lines[i] = Visible(lines[i])
		}
		text.WriteString("::" + escapeData(clip(strings.Join(lines, "\n"), maxMessage)) + "\n")
	}
	_, err := io.WriteString(w, text.String())
	return err
}

var dataEscapes = strings.NewReplacer("%", "%25", "\r", "%0D", "\n", "%0A")

func escapeData(s string) string { return dataEscapes.Replace(s) }

var propertyEscapes = strings.NewReplacer("%", "%25", "\r", "%0D", "\n", "%0A", ":", "%3A", ",", "%2C")

func escapeProperty(s string) string { return propertyEscapes.Replace(s) }
