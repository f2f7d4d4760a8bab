package artifact

import (
	"archive/zip"
	"bytes"
	"io"
	"io/fs"
	"net/http"
	"strings"
	"testing"
)

// special is a zip file with one entry that is no plain file.
func special(t *testing.T, mode fs.FileMode, text string) []byte {
	t.Helper()
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	header := &zip.FileHeader{Name: "wcshard-plan.json"}
	header.SetMode(mode)
	w, err := z.CreateHeader(header)
	if err != nil {
		t.Fatal(err)
	}
	io.WriteString(w, text)
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// A link could name any file of the machine that unpacks it.
func TestSpecialFiles(t *testing.T) {
	for name, mode := range map[string]fs.FileMode{
		"link": fs.ModeSymlink | 0o777, "pipe": fs.ModeNamedPipe | 0o666, "device": fs.ModeDevice | fs.ModeCharDevice | 0o666,
	} {
		t.Run(name, func(t *testing.T) {
			f := newFake(t)
			f.download(special(t, mode, "/etc/passwd"))
			_, err := f.client(nil).Download(t.Context(), Artifact{Name: Name{Plan, "", 1}, ID: 7, Run: 5})
			want(t, err, Unsafe, `entry "wcshard-plan.json" that is no plain file`)
		})
	}
	f := newFake(t)
	f.download(special(t, 0o755, "the plan"))
	if _, err := f.client(nil).Download(t.Context(), Artifact{ID: 7}); err != nil {
		t.Errorf("a plain file: %v", err)
	}
}

// Neither the API nor the host of the artifact may lead to where the download
// would be in the clear; nothing is asked there.
func TestRedirectInTheClear(t *testing.T) {
	const clear = "http://artifacts.example/blob?sig=1"
	f := newFake(t)
	f.get("/actions/artifacts/7/zip", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, clear, http.StatusFound) })
	_, err := f.client(nil).Download(t.Context(), Artifact{ID: 7})
	want(t, err, Unreachable, "the artifact is at http://artifacts.example, want https")

	f = newFake(t)
	f.download(nil)
	f.blob = func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, clear, http.StatusTemporaryRedirect) }
	_, err = f.client(nil).Download(t.Context(), Artifact{ID: 7})
	want(t, err, Unreachable, "the artifact is at http://artifacts.example, want https")
	if strings.Contains(err.Error(), "sig=") {
		t.Errorf("%v: holds the signature of the download", err)
	}
}

// An API with https has its artifacts come with https, from loopback too.
func TestSafeScheme(t *testing.T) {
	for _, c := range []struct {
		place, api string
		safe       bool
	}{
		{"https://blobs.example/a", "https://api.github.com/", true},
		{"http://blobs.example/a", "https://api.github.com/", false},
		{"http://127.0.0.1/a", "https://api.github.com/", false},
		{"http://localhost:1/a", "http://127.0.0.1:2/", true},
		{"http://blobs.example/a", "http://127.0.0.1:2/", false},
		{"file:///etc/passwd", "http://127.0.0.1:2/", false},
	} {
		place, err := http.NewRequest(http.MethodGet, c.place, nil)
		if err != nil {
			t.Fatal(err)
		}
		api, err := http.NewRequest(http.MethodGet, c.api, nil)
		if err != nil {
			t.Fatal(err)
		}
		if err := safeScheme(place.URL, api.URL); (err == nil) != c.safe {
			t.Errorf("safeScheme(%s, %s) = %v, want safe: %t", c.place, c.api, err, c.safe)
		}
	}
}

// An own server has its API below a path, and its runs' pages elsewhere.
func TestOwnServer(t *testing.T) {
	f := newFake(t)
	asked := ""
	inner := f.api.Config.Handler
	f.api.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked = r.URL.Path
		http.StripPrefix("/api/v3", inner).ServeHTTP(w, r)
	})
	f.get("/actions/runs/5", func(w http.ResponseWriter, _ *http.Request) { writeJSON(w, f.run(5, "push", "main", 1)) })
	for _, api := range []string{f.api.URL + "/api/v3", f.api.URL + "/api/v3/"} {
		c := f.client(func(o *Options) { o.API = api })
		if run, err := c.Run(t.Context(), 5); err != nil || run.ID != 5 || asked != "/api/v3"+base+"/actions/runs/5" {
			t.Errorf("with the API %s: run %+v, %v from %s", api, run, err, asked)
		}
	}
}
