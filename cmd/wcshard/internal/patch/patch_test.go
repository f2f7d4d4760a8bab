package patch

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestDiff(t *testing.T) {
	old := "1\n2\n3\n4\n5\n6\n7\n8\n9\n10\n11\n12\n13\n14\n15\n16\n17\n18"
	for _, c := range []struct {
		name, file, old string
		edits           []Edit
		want            string
	}{
		{
			"two hunks, and a file without a last line end", "a.py", old,
			[]Edit{{Line: 17, Insert: []string{"x\n"}}, {Line: 2, Remove: 1, Insert: []string{"two\n", "more\n"}}},
			"diff --git a/a.py b/a.py\n--- a/a.py\n+++ b/a.py\n@@ -1,5 +1,6 @@\n 1\n-2\n+two\n+more\n 3\n 4\n 5\n@@ -14,5 +15,6 @@\n 14\n 15\n 16\n+x\n 17\n 18\n\\ No newline at end of file\n",
		},
		{
			"a new file, with a space and more in its name", "a é.ini", "",
			[]Edit{{Line: 1, Insert: []string{"[pytest]\n"}}},
			"diff --git \"a/a \\303\\251.ini\" \"b/a \\303\\251.ini\"\nnew file mode 100644\n--- /dev/null\n+++ \"b/a \\303\\251.ini\"\n@@ -0,0 +1,1 @@\n+[pytest]\n",
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			text := []byte(c.old)
			if c.old == "" {
				text = nil
			}
			if got := string(Diff(c.file, text, c.edits)); got != c.want {
				t.Errorf("Diff() =\n%s\nwant\n%s", got, c.want)
			}
		})
	}
}

// What git apply makes of a patch is what the edits say.
func TestGitApply(t *testing.T) {
	git, err := exec.LookPath("git")
	if err != nil {
		t.Skip(err)
	}
	dir := t.TempDir()
	rapid.Check(t, func(t *rapid.T) {
		ends := rapid.SampledFrom([]string{"\n", "\r\n"}).Draw(t, "line end")
		var lines []string
		for i := range rapid.IntRange(0, 30).Draw(t, "lines") {
			lines = append(lines, fmt.Sprint("line ", i, ends))
		}
		if len(lines) > 0 && rapid.Bool().Draw(t, "no last line end") {
			lines[len(lines)-1] = strings.TrimRight(lines[len(lines)-1], "\r\n")
		}
		old := strings.Join(lines, "")
		torn := len(lines) > 0 && !strings.HasSuffix(old, "\n")
		var edits []Edit
		want := slices.Clone(lines)
		// From the back, so that the line numbers hold.
		for at := len(lines) + 1; at > 0; at -= rapid.IntRange(1, 9).Draw(t, "step") {
			if torn && at > len(lines) {
				continue // after a line without its end nothing can come
			}
			e := Edit{Line: at, Remove: rapid.IntRange(0, min(1, len(lines)+1-at)).Draw(t, "remove"), Insert: []string{fmt.Sprint("new ", at, ends)}}
			edits = append(edits, e)
			want = slices.Concat(want[:at-1], e.Insert, want[at-1+e.Remove:])
		}
		if len(edits) == 0 {
			return
		}
		name := rapid.SampledFrom([]string{"a.py", "with space.py", "ü\"\t.py"}).Draw(t, "name")
		path := filepath.Join(dir, name)
		var text []byte
		if len(lines) > 0 {
			text = []byte(old)
			if err := os.WriteFile(path, text, 0o666); err != nil {
				t.Fatal(err)
			}
		}
		defer os.Remove(path)
		cmd := exec.Command(git, "apply", "--whitespace=nowarn", "-")
		cmd.Dir, cmd.Stdin = dir, bytes.NewReader(Diff(name, text, edits))
		cmd.Env = append(os.Environ(), "GIT_CEILING_DIRECTORIES="+filepath.Dir(dir))
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v: %s\n%s", err, out, Diff(name, text, edits))
		}
		got, err := os.ReadFile(path)
		if err != nil || string(got) != strings.Join(want, "") {
			t.Fatalf("after git apply: %q, %v, want %q", got, err, want)
		}
	})
}
