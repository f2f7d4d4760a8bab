package actions

import (
	"bytes"
	"strings"
	"testing"
)

func TestWriteOutputs(t *testing.T) {
	var file bytes.Buffer
	zeros := bytes.NewReader(make([]byte, 64))
	if err := writeOutputs(&file, zeros, Output{"matrix", `{"include":[]}`}, Output{"count", "2\n3"}); err != nil {
		t.Fatal(err)
	}
	delimiter := "wcshard_" + strings.Repeat("0", 32)
	want := "matrix<<" + delimiter + "\n{\"include\":[]}\n" + delimiter + "\ncount<<" + delimiter + "\n2\n3\n" + delimiter + "\n"
	if got := file.String(); got != want {
		t.Errorf("writeOutputs wrote\n%s\nwant\n%s", got, want)
	}
}

func TestWriteOutputsRandom(t *testing.T) {
	var a, b bytes.Buffer
	for _, file := range []*bytes.Buffer{&a, &b} {
		if err := WriteOutputs(file, Output{"count", "1"}); err != nil {
			t.Fatal(err)
		}
	}
	if a.String() == b.String() {
		t.Errorf("two calls used the same delimiter: %s", a.String())
	}
}

func TestWriteOutputsRefuses(t *testing.T) {
	half := strings.Repeat("x", MaxOutput/2-len("matrix"))
	for name, test := range map[string]struct {
		output Output
		want   string
	}{
		"delimiter in value": {Output{"matrix", "wcshard_" + strings.Repeat("0", 32)}, "contains the delimiter"},
		"empty name":         {Output{"", "1"}, "not a name"},
		"newline in name":    {Output{"a\nb", "1"}, "not a name"},
		"carriage return":    {Output{"a", "1\r\n"}, "carriage return"},
		"one over the limit": {Output{"matrix", half + "x"}, "a job may have 1048576"},
		"astral planes":      {Output{"matrix", strings.Repeat("😀", MaxOutput/4)}, "a job may have 1048576"},
	} {
		t.Run(name, func(t *testing.T) {
			var file bytes.Buffer
			err := writeOutputs(&file, bytes.NewReader(make([]byte, 64)), test.output)
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("writeOutputs() = %v, want …%s…", err, test.want)
			}
			if file.Len() > 0 {
				t.Errorf("writeOutputs wrote %d bytes all the same", file.Len())
			}
		})
	}
	if err := writeOutputs(new(bytes.Buffer), bytes.NewReader(make([]byte, 64)), Output{"matrix", half}); err != nil {
		t.Errorf("writeOutputs() at the limit = %v", err)
	}
}
