package main

import (
	"bytes"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/wcshard/wcshard/timing"
)

// A history that is read meanwhile is spoken of only when its turn has come, and one
// from standard input is read only then: the list of tests may come first.
func TestReadAside(t *testing.T) {
	var stderr bytes.Buffer
	stdin := strings.NewReader("no history\n")
	sys := &system{stdin: stdin, stderr: &stderr}
	known := historySources{filepath.Join(t.TempDir(), "none.jsonl")}.readAside(t.Context(), sys, nil, true)
	if stderr.Len() > 0 {
		t.Errorf("said %q before the collection could", stderr.String())
	}
	if history, _, err := known(); err != nil || history.Len() != 0 || !strings.Contains(stderr.String(), "there is no history") {
		t.Errorf("%v, %v, said %q", history, err, stderr.String())
	}
	known = historySources{"-"}.readAside(t.Context(), sys, nil, true)
	if stdin.Len() != int(stdin.Size()) {
		t.Error("standard input is read before the collection")
	}
	var syntax *timing.SyntaxError
	if _, _, err := known(); !errors.As(err, &syntax) {
		t.Errorf("the history that is none: %v", err)
	}
	defer func() {
		if cause := fmt.Sprint(recover()); !strings.Contains(cause, "nil pointer") || !strings.Contains(cause, "remoteOptions") {
			t.Errorf("a panic of the reader is %q here, want it with its place", cause)
		}
	}()
	_, _, _ = historySources{fromGitHub}.readAside(t.Context(), sys, nil, true)() // no options
}

// What is written late comes first, and then as it comes.
func TestLateWriter(t *testing.T) {
	var out bytes.Buffer
	w := &lateWriter{}
	for _, text := range []string{"a", "b"} {
		if n, err := w.Write([]byte(text)); n != 1 || err != nil || out.Len() > 0 {
			t.Errorf("wrote %d, %v, and %q is out", n, err, out.String())
		}
	}
	w.to(&out)
	if out.String() != "ab" {
		t.Errorf("%q is out, want ab", out.String())
	}
	if _, err := w.Write([]byte("c")); err != nil || out.String() != "abc" {
		t.Errorf("%v, and %q is out, want abc", err, out.String())
	}
}
