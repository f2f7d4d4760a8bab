package artifact

import (
	"archive/zip"
	"bytes"
	"errors"
	"io"
	"path/filepath"
	"strings"
	"testing"
)

// Whatever is downloaded is an archive of files that stay in their folder and
// give no more bytes than they may, or an error with a hint.
func FuzzUnpack(f *testing.F) {
	for _, name := range []string{"plan.json", "timings.jsonl.gz", "../x", `a\b`, "c:x", "/etc/x", "folder/", "folder/a"} {
		var b bytes.Buffer
		w := zip.NewWriter(&b)
		if file, err := w.Create(name); err != nil {
			f.Fatal(err)
		} else if !strings.HasSuffix(name, "/") {
			if _, err := file.Write([]byte("\x1f\x8bhello")); err != nil {
				f.Fatal(err)
			}
		}
		if err := w.Close(); err != nil {
			f.Fatal(err)
		}
		f.Add(b.Bytes())
	}
	f.Add([]byte("PK"))
	f.Add([]byte("<html>"))
	const most = 100
	client := &Client{options: Options{limits: limits{archive: 1 << 16, file: most, entries: 3}}}
	hinted := func(t *testing.T, err error) {
		var known *Error
		if !errors.As(err, &known) || known.Hint == "" {
			t.Fatalf("error %v of type %T, want an *Error with a hint", err, err)
		}
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		files, err := client.unpack(body)
		if err != nil {
			hinted(t, err)
			return
		}
		if len(files) > 3 {
			t.Fatalf("%d files, want at most 3", len(files))
		}
		for _, file := range files {
			if !filepath.IsLocal(file.Name) || strings.ContainsAny(file.Name, "\\:\x00") {
				t.Fatalf("a file %q", file.Name)
			}
			in, err := file.Open()
			if err != nil {
				hinted(t, err)
				continue
			}
			got, err := io.ReadAll(in)
			if err != nil {
				hinted(t, err)
			}
			if len(got) > most {
				t.Fatalf("%q has %d bytes, want at most %d", file.Name, len(got), most)
			}
			if err := in.Close(); err != nil && len(got) == 0 {
				t.Logf("closing: %v", err)
			}
		}
	})
}

// A name that is read is written the same.
func FuzzParseName(f *testing.F) {
	for _, text := range []string{"wcshard-plan-1", "wcshard-timings-2", "wcshard-results-pool-1-2", "wcshard-results--1", "wcshard-results-1", "wcshard-plan-01", "wcshard-plan-1\n"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if name, ok := ParseName(text); ok && (name.String() != text || name.Attempt < 1 || (name.Kind == Results) != (name.Shard != "")) {
			t.Fatalf("ParseName(%q) = %+v, which is %q", text, name, name)
		}
	})
}

// What is a run has a number, and a repository that its URL names.
func FuzzParseRun(f *testing.F) {
	for _, text := range []string{"1", "-1", "https://github.com/o/r/actions/runs/5", "https://github.com/o/r/actions/runs/5/attempts/2", "https://github.com/o/r/actions/runs/5/attempts/0", "http://[::1]:80/o/r/actions/runs/5/job/7", "/o/r/actions/runs/5", "99999999999999999999"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		ref, err := ParseRun(text)
		var known *Error
		switch {
		case err != nil && (!errors.As(err, &known) || known.Hint == "" || known.Fault != Misused):
			t.Fatalf("ParseRun(%q): %v of type %T, want misuse and a hint", text, err, err)
		case err == nil && (ref.ID < 1 || ref.Attempt < 0 || (ref.Host == "") != (ref.Repository == "") || (ref.Host != "") != strings.Contains(text, "/")):
			t.Fatalf("ParseRun(%q) = %+v", text, ref)
		}
	})
}

// The repository of a remote is one that can be asked for, whatever the remote.
func FuzzParseRemote(f *testing.F) {
	for _, remote := range []string{"git@github.com:o/r.git", "ssh://git@host:22/o/r", "https://host/o/r.git/", "file:///o/r", "o/r", "host:../..", "https://host/o/r?x"} {
		f.Add(remote)
	}
	f.Fuzz(func(t *testing.T, remote string) {
		host, name, ok := ParseRemote(remote)
		if ok && (host == "" || strings.Count(name, "/") != 1 || strings.ContainsAny(name, " ?#%:@\\") || strings.Contains(name, "..") && strings.HasSuffix(name, "/..")) {
			t.Fatalf("ParseRemote(%q) = %q, %q", remote, host, name)
		}
	})
}
