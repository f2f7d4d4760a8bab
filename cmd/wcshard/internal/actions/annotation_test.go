package actions

import (
	"bytes"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestWriteAnnotations(t *testing.T) {
	for name, test := range map[string]struct {
		annotation Annotation
		want       string
	}{
		"all parts":      {Annotation{"tests/test_a.py", 7, "tests/test_a.py::test_one", "assert 1 == 2"}, "::error file=tests/test_a.py,line=7,title=tests/test_a.py%3A%3Atest_one::assert 1 == 2\n"},
		"no file":        {Annotation{Line: 7, Message: "lost"}, "::error::lost\n"},
		"nothing at all": {Annotation{}, "::error::\n"},
		"data":           {Annotation{Message: "50%, a:b\n::error::c"}, "::error::50%25, a:b%0A::error::c\n"},
		"property":       {Annotation{File: "a,b:c%0A.py", Line: 1}, "::error file=a%2Cb%3Ac%250A.py,line=1::\n"},
		"control":        {Annotation{Title: "a\r\nb\x1b[31m", Message: "c\rd\u2028e\u202ef\xff"}, `::error title=a\r\nb\x1b[31m::c\rd\u2028e\u202ef\xff` + "\n"},
	} {
		t.Run(name, func(t *testing.T) {
			var got bytes.Buffer
			if err := WriteAnnotations(&got, []Annotation{test.annotation}); err != nil {
				t.Fatal(err)
			}
			if got.String() != test.want {
				t.Errorf("WriteAnnotations wrote %q, want %q", got.String(), test.want)
			}
		})
	}
}

func TestWriteAnnotationsClips(t *testing.T) {
	var got bytes.Buffer
	long := Annotation{Title: strings.Repeat("é", maxTitle+1), Message: strings.Repeat("%", maxMessage)}
	if err := WriteAnnotations(&got, []Annotation{long}); err != nil {
		t.Fatal(err)
	}
	command, _, properties, data := runnerParse(strings.TrimSuffix(got.String(), "\n"))
	if want := strings.Repeat("é", maxTitle-1) + "…"; command != "error" || properties["title"] != want {
		t.Errorf("the title has %d characters, want %d", utf8.RuneCountInString(properties["title"]), maxTitle)
	}
	if data != long.Message {
		t.Errorf("a message at the limit came back with %d characters, want %d", len(data), maxMessage)
	}
}

// runnerParse reads a workflow command as the runner does (ActionCommand.cs,
// TryParseV2): what stands between the first two "::" is the command, its
// properties come after a space, and escapes are undone one after another, the
// per cent sign last.
func runnerParse(line string) (command string, ok bool, properties map[string]string, data string) {
	line, ok = strings.CutPrefix(strings.TrimSpace(line), "::")
	if !ok {
		return "", false, nil, ""
	}
	head, data, ok := strings.Cut(line, "::")
	if !ok {
		return "", false, nil, ""
	}
	undo := func(text string, pairs ...string) string {
		for i := 0; i < len(pairs); i += 2 {
			text = strings.ReplaceAll(text, pairs[i], pairs[i+1])
		}
		return text
	}
	command, rest, _ := strings.Cut(head, " ")
	properties = map[string]string{}
	for _, pair := range strings.Split(strings.TrimSpace(rest), ",") {
		if name, value, ok := strings.Cut(pair, "="); ok {
			properties[name] = undo(value, "%0D", "\r", "%0A", "\n", "%3A", ":", "%2C", ",", "%25", "%")
		}
	}
	return command, true, properties, undo(data, "%0D", "\r", "%0A", "\n", "%25", "%")
}

// FuzzWriteAnnotations holds that whatever the texts are, the runner reads one
// command with exactly the parts that were meant.
func FuzzWriteAnnotations(f *testing.F) {
	f.Add("tests/test_a.py", 7, "a::b", "assert")
	f.Add("a,b", 1, "::set-output name=x::y", "\n::stop-commands::x\r\n##[add-mask]y")
	f.Add("%0A", -1, "%25%0D%3A", "%250A\x00\u0085")
	f.Fuzz(func(t *testing.T, file string, line int, title, message string) {
		var got bytes.Buffer
		if err := WriteAnnotations(&got, []Annotation{{file, line, title, message}}); err != nil {
			t.Fatal(err)
		}
		text := got.String()
		if strings.Count(text, "\n") != 1 || !strings.HasSuffix(text, "\n") || strings.ContainsAny(text, "\r\x00\x1b\u0085\u2028") {
			t.Fatalf("WriteAnnotations wrote %q, want one printable line", text)
		}
		command, ok, properties, data := runnerParse(strings.TrimSuffix(text, "\n"))
		if !ok || command != "error" {
			t.Fatalf("the runner reads the command %q (%v) in %q", command, ok, text)
		}
		for name := range properties {
			if name != "file" && name != "line" && name != "title" {
				t.Errorf("the runner reads a property %q in %q", name, text)
			}
		}
		// The runner drops blanks around the properties.
		if want := strings.TrimSpace(clip(Visible(title), maxTitle)); strings.TrimSpace(properties["title"]) != want {
			t.Errorf("title = %q, want %q", properties["title"], want)
		}
		if want := strings.TrimSpace(Visible(file)); strings.TrimSpace(properties["file"]) != want {
			t.Errorf("file = %q, want %q", properties["file"], want)
		}
		if want := clip(Visible(message), maxMessage); !strings.Contains(message, "\n") && strings.TrimSpace(data) != strings.TrimSpace(want) {
			t.Errorf("message = %q, want %q", data, want)
		}
	})
}
