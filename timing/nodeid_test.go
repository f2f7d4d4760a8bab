package timing

import "testing"

func TestWithoutGroup(t *testing.T) {
	for text, want := range map[string]NodeID{
		"a.py::test":             "a.py::test",
		"a.py::test@db":          "a.py::test",
		"a.py::C::test[1]@db":    "a.py::C::test[1]",
		"a.py::test[x@y]":        "a.py::test[x@y]",
		"a.py::test[x@y]@a@b":    "a.py::test[x@y]@a",
		"v@2/a.py::test":         "v@2/a.py::test",
		"v@2/a.py::test@db":      "v@2/a.py::test",
		"docs/index.rst::x.rst":  "docs/index.rst::x.rst",
		"a.py::test[user@host]x": "a.py::test[user@host]x",
	} {
		if got := withoutGroup(text); got != want {
			t.Errorf("withoutGroup(%q) = %q, want %q", text, got, want)
		}
	}
}
