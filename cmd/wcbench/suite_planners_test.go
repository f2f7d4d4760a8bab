package main

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// pytest-fsplit gets folders for files that are named, and what else is in them it is
// to ignore.
func TestInFolders(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"t/test_a.py", "t/test_b.py", "t/test_c.py", "t/conftest.py", "t/__init__.py", "t/data.txt", "t/sub/test_d.py", "u/test_e.py"} {
		if err := os.MkdirAll(filepath.Join(dir, filepath.Dir(name)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	in := func(name string) string { return filepath.Join(dir, name) }
	for _, c := range []struct{ args, want []string }{
		{[]string{"t", "-k", "u"}, []string{in("t"), "-k", "u"}},
		{[]string{"t/test_a.py", "t/test_b.py"}, []string{in("t"), "--ignore=" + in("t/sub"), "--ignore=" + in("t/test_c.py")}},
		{[]string{"-x", "t/test_a.py", "t/sub"}, []string{"-x", in("t"), in("t/sub"), "--ignore=" + in("t/test_b.py"), "--ignore=" + in("t/test_c.py")}},
		{[]string{"t", "t/test_a.py"}, []string{in("t")}},
		{[]string{"u", "--ignore", "t/test_a.py", "--deselect", "u/test_e.py::test_x"}, []string{in("u"), "--ignore", "t/test_a.py", "--deselect", "u/test_e.py::test_x"}},
	} {
		if got, err := inFolders(dir, c.args); err != nil || !slices.Equal(got, c.want) {
			t.Errorf("inFolders(%q) = %q, %v, want %q", c.args, got, err, c.want)
		}
	}
}
