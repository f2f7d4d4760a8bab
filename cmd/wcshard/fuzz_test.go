package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"math"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/wcshard/wcshard/timing"
)

// helpful fails unless a message names a next step and, where it says at which line a
// file is wrong, one that the file has.
func helpful(t *testing.T, err error, text string) {
	t.Helper()
	var f *failure
	if !errors.As(err, &f) || f.hint == "" && f.status == 0 {
		t.Fatalf("error %v of type %T, want one with a hint", err, err)
	}
	var syntax *timing.SyntaxError
	if lines := strings.Count(text, "\n") + 1; errors.As(err, &syntax) && (syntax.Line < 1 || syntax.Line > lines) {
		t.Fatalf("error %v, want a line from 1 to %d", err, lines)
	}
}

// Each line of a list is a test, a blank, or an error that names it.
func FuzzNodeIDs(f *testing.F) {
	for _, text := range []string{"a.py::t\nb.py::T::t[a b]\r\n\n", "\ufeffa.py::t", "12 tests collected in 0.5s", "a.py::t\x00", "\xff::t", "<Module a.py>", "[1]", "a b\n", "a.py"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		tests, err := nodeIDs(strings.NewReader(text), "list")
		if err != nil {
			helpful(t, err, text)
			return
		}
		lines := 0
		for line := range strings.SplitSeq(strings.TrimPrefix(text, "\ufeff"), "\n") {
			if strings.TrimSpace(line) != "" {
				lines++
			}
		}
		if len(tests) != lines {
			t.Fatalf("%d tests, want one of each of %d lines", len(tests), lines)
		}
		for _, test := range tests {
			if id := string(test.ID); !utf8.ValidString(id) || strings.ContainsAny(id, "\n\x00") || !strings.Contains(text, id) {
				t.Fatalf("a test %q", id)
			}
		}
	})
}

// Prices that are read are those that stand there, and can be reckoned with.
func FuzzParsePrices(f *testing.F) {
	f.Add(knownPrices)
	for _, text := range []string{`{"per_minute":{"a":1}}`, `{"per_minute":{"a":-1}}`, `{"per_minute":{"a":"1"}}`, `{"per_minute":{"a":1e9}}`, `{"per_minute":null}`, `{"x":1}`, "{\n\"currency\":\n1}", `{"per_minute":{"a":1}} x`, "[]", ""} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		p, err := parsePrices("file", text)
		if err != nil {
			helpful(t, err, string(text))
			return
		}
		var general struct {
			PerMinute map[string]float64 `json:"per_minute"`
		}
		if err := json.Unmarshal(text, &general); err != nil {
			t.Fatalf("accepted, but is not JSON: %v", err)
		}
		if len(p.PerMinute) == 0 || len(p.PerMinute) != len(general.PerMinute) || !strings.HasPrefix(p.Source, "file") {
			t.Fatalf("prices %+v of %s", p, text)
		}
		for label, price := range p.PerMinute {
			if !(price >= 0 && price <= 1000) || math.Signbit(price) && price != 0 || price != general.PerMinute[label] {
				t.Fatalf("a minute on %q costs %v, want %v", label, price, general.PerMinute[label])
			}
		}
	})
}

// A row that is read names the shard that encoding/json finds there.
func FuzzReadRow(f *testing.F) {
	for _, text := range []string{`{"name":"pool-1","plan":"abc"}`, `{"NAME":"x"}`, `{"name":1}`, "null", `"x"`, "", `{"name":"a"}{}`} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		row, err := readRow(text)
		if err != nil {
			helpful(t, err, text)
			return
		}
		again, err := json.Marshal(row)
		if err != nil || row.Name == "" || !json.Valid(bytes.TrimSpace([]byte(text))) {
			t.Fatalf("readRow(%q) = %+v", text, row)
		}
		if back, err := readRow(string(again)); err != nil || back != row {
			t.Fatalf("readRow(%s) = %+v, %v, want %+v", again, back, err, row)
		}
	})
}
