package artifact

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

func asError(err error) (*Error, bool) {
	var own *Error
	ok := errors.As(err, &own)
	return own, ok
}

func TestNames(t *testing.T) {
	for _, c := range []struct {
		text string
		name Name
	}{
		{PlanName(1), Name{Plan, "", 1}},
		{TimingsName(12), Name{Timings, "", 12}},
		{ResultsName("pool-1", 2), Name{Results, "pool-1", 2}},
		{ResultsName("mem-test_x-1", 3), Name{Results, "mem-test_x-1", 3}},
	} {
		if got, ok := ParseName(c.text); !ok || got != c.name {
			t.Errorf("ParseName(%q) = %+v, %t, want %+v", c.text, got, ok, c.name)
		}
	}
	for _, text := range []string{"coverage", "wcshard-plan", "wcshard-plan-0", "wcshard-plan-01", "wcshard-results-1", "wcshard-plan-1.zip", "wcshard-plan-x-1", "wcshard-plan-99999999999"} {
		if got, ok := ParseName(text); ok {
			t.Errorf("ParseName(%q) = %+v, want none", text, got)
		}
	}
}

func TestParseRun(t *testing.T) {
	for text, ref := range map[string]RunRef{
		"123": {ID: 123},
		"https://github.com/acme/weather/actions/runs/123":                        {"github.com", "acme/weather", 123, 0, 0},
		"https://github.com/acme/weather/actions/runs/123/job/456?pr=7#step:3:1":  {"github.com", "acme/weather", 123, 0, 456},
		"https://ghe.acme.org/acme/weather/actions/runs/123/attempts/2":           {"ghe.acme.org", "acme/weather", 123, 2, 0},
		"https://ghe.acme.org/acme/weather/actions/runs/123/attempts/2#summary-1": {"ghe.acme.org", "acme/weather", 123, 2, 0},
	} {
		if got, err := ParseRun(text); err != nil || got != ref {
			t.Errorf("ParseRun(%q) = %+v, %v, want %+v", text, got, err, ref)
		}
	}
	for _, text := range []string{"", "0", "-1", "12x", "99999999999999999999", "https://github.com/acme/weather/pull/7", "github.com/acme/weather/actions/runs/1", "https://github.com/a/b/actions/runs/1/attempts/0", "https://github.com/a/b/actions/runs/1/job/0"} {
		_, err := ParseRun(text)
		want(t, err, Misused, "actions/runs/NUMBER")
	}
}

func TestParseRemote(t *testing.T) {
	for remote, pair := range map[string][2]string{
		"git@github.com:acme/weather.git\n":        {"github.com", "acme/weather"},
		"https://github.com/acme/weather":          {"github.com", "acme/weather"},
		"https://u:p@github.com/acme/weather.git/": {"github.com", "acme/weather"},
		"ssh://git@ghe.acme.org:2222/acme/weather": {"ghe.acme.org", "acme/weather"},
		"org-1@github.com:acme/weather.cop":        {"github.com", "acme/weather.cop"},
	} {
		if host, name, ok := ParseRemote(remote); !ok || host != pair[0] || name != pair[1] {
			t.Errorf("ParseRemote(%q) = %q, %q, %t, want %q", remote, host, name, ok, pair)
		}
	}
	for _, remote := range []string{"", "/srv/git/weather", "../weather", "https://github.com/weather", "https://gitlab.com/a/b/c", "git@github.com:acme/.."} {
		if host, name, ok := ParseRemote(remote); ok {
			t.Errorf("ParseRemote(%q) = %q, %q, want none", remote, host, name)
		}
	}
}

func TestServesHost(t *testing.T) {
	for _, c := range []struct {
		api, host string
		want      bool
	}{
		{"", "github.com", true},
		{"", "evil.example", false},
		{"", "notgithub.com", false},
		{"https://ghe.acme.org/api/v3", "ghe.acme.org", true},
		{"https://api.acme.ghe.com", "acme.ghe.com", true},
		{"https://ghe.acme.org/api/v3", "github.com", false},
	} {
		if got := ServesHost(c.api, c.host); got != c.want {
			t.Errorf("ServesHost(%q, %q) = %t, want %t", c.api, c.host, got, c.want)
		}
	}
}

func TestNewRefuses(t *testing.T) {
	for _, o := range []Options{
		{Repository: "weather"},
		{Repository: "a/b/c"},
		{Repository: "a/.."},
		{Repository: "acme/weather", API: "http://ghe.acme.org/api/v3"},
		{Repository: "acme/weather", API: "ftp://ghe.acme.org"},
		{Repository: "acme/weather", API: "https://"},
	} {
		_, err := New(o)
		want(t, err, Misused)
	}
}

// Pages are followed by the Link header, and other people's artifacts left out.
func TestPaging(t *testing.T) {
	f := newFake(t)
	f.get("/actions/runs/5/artifacts", func(w http.ResponseWriter, r *http.Request) {
		if got := r.URL.Query().Get("per_page"); got != "100" {
			t.Errorf("per_page = %q, want 100", got)
		}
		page, _ := strconv.Atoi(r.URL.Query().Get("page"))
		page = max(page, 1)
		if page < 3 {
			w.Header().Set("Link", fmt.Sprintf(`<%s%s?page=%d>; rel="next", <%[1]s%[2]s?page=3>; rel="last"`, f.api.URL, r.URL.Path, page+1))
		}
		writeJSON(w, map[string]any{"total_count": 6, "artifacts": []any{
			stored(page, ResultsName("pool-1", page)), stored(10+page, fmt.Sprint("coverage-", page)),
		}})
	})
	all, err := f.client(nil).Artifacts(t.Context(), 5)
	if err != nil || len(all) != 3 || f.calls != 3 {
		t.Fatalf("Artifacts() = %+v, %v after %d calls, want 3 of 3 pages", all, err, f.calls)
	}
	if got := Newest(all, Results, 0); len(got) != 1 || got[0].Attempt != 3 {
		t.Errorf("Newest() = %+v, want attempt 3", got)
	}
	if got := Newest(all, Results, 2); len(got) != 1 || got[0].Attempt != 2 {
		t.Errorf("Newest(2) = %+v, want attempt 2", got)
	}
}

func TestPagingWithoutEnd(t *testing.T) {
	f := newFake(t)
	f.get("/actions/runs/5/artifacts", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Link", fmt.Sprintf(`<%s%s?page=2>; rel="next"`, f.api.URL, r.URL.Path))
		writeJSON(w, map[string]any{"total_count": 0, "artifacts": []any{}})
	})
	_, err := f.client(nil).Artifacts(t.Context(), 5)
	want(t, err, TooLarge, "more than 100 pages")
}

func TestNewestOfEachShard(t *testing.T) {
	f := newFake(t)
	f.artifacts(5, stored(1, ResultsName("pool-2", 1)), stored(2, ResultsName("pool-1", 1)), stored(3, ResultsName("pool-1", 10)),
		stored(4, ResultsName("pool-1", 9)), stored(5, PlanName(1)))
	all, err := f.client(nil).Artifacts(t.Context(), 5)
	if err != nil {
		t.Fatal(err)
	}
	var ids []int64
	for _, a := range Newest(all, Results, 0) {
		ids = append(ids, a.ID)
	}
	if !slices.Equal(ids, []int64{3, 1}) {
		t.Errorf("Newest(Results) = %v, want artifacts 3 (pool-1, attempt 10) and 1", ids)
	}
}

func TestTwoOfOneName(t *testing.T) {
	f := newFake(t)
	f.artifacts(5, stored(1, PlanName(1)), stored(2, PlanName(1)))
	_, err := f.client(nil).Artifacts(t.Context(), 5)
	want(t, err, Ambiguous, "several artifacts named wcshard-plan-1 (1 and 2)")
}

func TestForkArtifacts(t *testing.T) {
	f := newFake(t)
	f.artifacts(5, stored(1, TimingsName(1), fromFork))
	f.artifacts(6, stored(1, TimingsName(1), func(a map[string]any) { a["workflow_run"] = nil }))
	f.artifacts(7, stored(1, TimingsName(1)))
	c := f.client(nil)
	for run, foreign := range map[int64]bool{5: true, 6: true, 7: false} {
		all, err := c.Artifacts(t.Context(), run)
		if err != nil {
			t.Fatal(err)
		}
		if err = OwnOnly(all); foreign {
			want(t, err, Foreign, "fork", "own branches")
		} else if err != nil {
			t.Errorf("OwnOnly() of run %d: %v", run, err)
		}
	}
}

func TestDownload(t *testing.T) {
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	io.WriteString(z, "the timings")
	z.Close()
	f := newFake(t)
	f.download(zipped(t, entry{"folder/", ""}, entry{"folder/wcshard-plan.json", "the plan"}, entry{"t.jsonl.gz", packed.String()}))
	archive, err := f.client(nil).Download(t.Context(), Artifact{Name: Name{Plan, "", 1}, ID: 7, Run: 5})
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{"wcshard-plan.json": "the plan", "t.jsonl.gz": "the timings"} {
		file, err := archive.Find("other", name)
		if err != nil {
			t.Fatal(err)
		}
		r, err := file.Open()
		if err != nil {
			t.Fatal(err)
		}
		if got, err := io.ReadAll(r); err != nil || string(got) != text {
			t.Errorf("%s holds %q, %v, want %q", name, got, err, text)
		}
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	}
	_, err = archive.Find("other")
	want(t, err, Damaged, "has 0 files other")
}

// A repository that was renamed answers with a redirect of its own.
func TestDownloadMoved(t *testing.T) {
	f := newFake(t)
	f.download(zipped(t, entry{"a", "text"}))
	f.get("/actions/artifacts/8/zip", func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, f.api.URL+base+"/actions/artifacts/7/zip", http.StatusMovedPermanently)
	})
	if _, err := f.client(nil).Download(t.Context(), Artifact{ID: 8}); err != nil {
		t.Error(err)
	}
}

// A redirect of the API to another host does not take the token along.
func TestTokenStays(t *testing.T) {
	f := newFake(t)
	f.blob = func(w http.ResponseWriter, _ *http.Request) { writeJSON(w, map[string]any{}) }
	f.get("/actions/runs/5", func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, f.blobs.URL+"/elsewhere", http.StatusFound)
	})
	if _, err := f.client(nil).Run(t.Context(), 5); err != nil {
		t.Error(err)
	}
}

func TestDownloadFaults(t *testing.T) {
	whole := zipped(t, entry{"wcshard-plan.json", strings.Repeat("plan ", 1000)})
	for name, c := range map[string]struct {
		body  []byte
		fault Fault
		words string
	}{
		"not a zip":    {[]byte("<html>log in</html>"), Damaged, `it starts with "<html>log in</html>"`},
		"empty":        {nil, Damaged, "it is not a zip file"},
		"cut off":      {whole[:len(whole)-30], Damaged, "cut off or damaged"},
		"large":        {append(slices.Clone(whole), make([]byte, 1<<16)...), TooLarge, "larger than 65536 bytes"},
		"slip":         {zipped(t, entry{"../../.bashrc", "x"}), Unsafe, `entry "../../.bashrc"`},
		"absolute":     {zipped(t, entry{"/etc/passwd", "x"}), Unsafe, `entry "/etc/passwd"`},
		"Windows":      {zipped(t, entry{`..\x`, "x"}), Unsafe, `leads out of its folder`},
		"drive":        {zipped(t, entry{`C:x`, "x"}), Unsafe, `leads out of its folder`},
		"twice":        {zipped(t, entry{"a", "x"}, entry{"a", "y"}), Damaged, `two entries "a"`},
		"many entries": {zipped(t, slices.Repeat([]entry{{"a", ""}}, 21)...), TooLarge, "21 entries, want at most 20"},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFake(t)
			f.download(c.body)
			client := f.client(func(o *Options) { o.limits = limits{archive: 1 << 16, file: 1 << 20, entries: 20} })
			_, err := client.Download(t.Context(), Artifact{Name: Name{Plan, "", 1}, ID: 7, Run: 5})
			want(t, err, c.fault, "downloading wcshard-plan-1 of run 5: ", c.words)
		})
	}
}

// What the zip file says of sizes is not believed: the cap is on what comes.
func TestBomb(t *testing.T) {
	f := newFake(t)
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	z.Write(make([]byte, 1<<21))
	z.Close()
	f.download(zipped(t, entry{"plain", strings.Repeat("\x00", 1<<21)}, entry{"nested.gz", packed.String()}, entry{"fits", strings.Repeat("\x00", 1<<20)}))
	archive, err := f.client(func(o *Options) { o.limits.file = 1 << 20 }).Download(t.Context(), Artifact{ID: 7})
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range archive.Files {
		r, err := file.Open()
		if err != nil {
			t.Fatal(err)
		}
		n, err := io.Copy(io.Discard, r)
		if file.Name == "fits" {
			if err != nil {
				t.Errorf("reading %s: %v", file.Name, err)
			}
			continue
		}
		want(t, err, TooLarge, "larger than 1048576 bytes")
		if n > 1<<20 {
			t.Errorf("%s gave %d bytes, want at most %d", file.Name, n, 1<<20)
		}
	}
}

// A byte that was changed on the way is found when the file is read.
func TestChangedByte(t *testing.T) {
	body := zipped(t, entry{"a", "the plan"})
	body[bytes.Index(body, []byte("a"))+10] ^= 1
	f := newFake(t)
	f.download(body)
	archive, err := f.client(nil).Download(t.Context(), Artifact{ID: 7})
	if err != nil {
		t.Fatal(err)
	}
	r, err := archive.Files[0].Open()
	if err == nil {
		_, err = io.ReadAll(r)
	}
	want(t, err, Damaged, "unpacking a")
}

func TestConnectionLost(t *testing.T) {
	f := newFake(t)
	f.download(nil)
	f.blob = func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "1000")
		io.WriteString(w, "PK")
	}
	_, err := f.client(nil).Download(t.Context(), Artifact{ID: 7})
	want(t, err, Damaged, "ended after 2 of 1000 bytes")
}

func TestBlobHostRefuses(t *testing.T) {
	f := newFake(t)
	f.download(nil)
	f.blob = func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "expired link", http.StatusForbidden) }
	_, err := f.client(nil).Download(t.Context(), Artifact{ID: 7})
	want(t, err, Unreachable, "where artifacts are stored, answered 403")
}

func TestExpired(t *testing.T) {
	f := newFake(t)
	f.artifacts(5, stored(7, PlanName(1), expired))
	c := f.client(nil)
	all, err := c.Artifacts(t.Context(), 5)
	if err != nil || len(all) != 1 {
		t.Fatal(all, err)
	}
	_, err = c.Download(t.Context(), all[0])
	want(t, err, Expired, "the artifact has expired", "run the workflow again")

	// It may expire between the list and the download.
	f.get("/actions/artifacts/7/zip", refuse(http.StatusGone, "Artifact has expired"))
	all[0].Expired = false
	_, err = c.Download(t.Context(), all[0])
	want(t, err, Expired, "the artifact has expired", "run the workflow again")
}

func refuse(status int, message string, header ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		for i := 0; i+1 < len(header); i += 2 {
			w.Header().Set(header[i], header[i+1])
		}
		w.WriteHeader(status)
		writeJSON(w, map[string]any{"message": message})
	}
}

func TestRefusals(t *testing.T) {
	for name, c := range map[string]struct {
		answer http.HandlerFunc
		fault  Fault
		words  []string
	}{
		"token":      {refuse(401, "Bad credentials"), Denied, []string{"the token is not accepted", "gh auth login"}},
		"permission": {refuse(403, "Resource not accessible by integration"), Denied, []string{"lacks the permission actions: read", "permissions: actions: read", "scope repo"}},
		"sso":        {refuse(403, "Resource protected", "X-GitHub-SSO", "required; url=https://github.com/orgs/acme/sso"), Denied, []string{"single sign-on", "https://github.com/orgs/acme/sso"}},
		"not found":  {refuse(404, "Not Found"), Missing, []string{"may not see it", "--repo", "actions: read"}},
		"broken":     {refuse(502, "Server Error"), Unreachable, []string{"GitHub answered 502"}},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFake(t)
			f.get("/actions/runs/5", c.answer)
			f.get("/actions/runs/5/artifacts", c.answer)
			f.get("/actions/artifacts/7/zip", c.answer)
			client := f.client(nil)
			_, err := client.Run(t.Context(), 5)
			want(t, err, c.fault, append(c.words, "asking for run 5 of acme/weather: GitHub answered")...)
			_, err = client.Artifacts(t.Context(), 5)
			want(t, err, c.fault, append(c.words, "listing the artifacts of run 5 of acme/weather: GitHub answered")...)
			_, err = client.Download(t.Context(), Artifact{ID: 7})
			want(t, err, c.fault, c.words...)
		})
	}
}

func TestNoServer(t *testing.T) {
	f := newFake(t)
	f.api.Close()
	_, err := f.client(nil).Run(t.Context(), 5)
	want(t, err, Unreachable, "asking for run 5")
}

// limited refuses the first n requests.
func limited(n int, refusal http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if n--; n >= 0 {
			refusal(w, r)
			return
		}
		writeJSON(w, map[string]any{"total_count": 0, "artifacts": []any{}})
	}
}

func TestRateLimit(t *testing.T) {
	const start = 1_800_000_000
	reset := func(s int) []string {
		return []string{"X-RateLimit-Remaining", "0", "X-RateLimit-Reset", strconv.Itoa(start + s)}
	}
	for name, c := range map[string]struct {
		answer http.HandlerFunc
		slept  []time.Duration
		words  string // of the error; "" for none
	}{
		"short":             {limited(1, refuse(403, "API rate limit exceeded", reset(20)...)), []time.Duration{21 * time.Second}, ""},
		"too many requests": {limited(1, refuse(429, "", "Retry-After", "7")), []time.Duration{7 * time.Second}, ""},
		"secondary":         {limited(1, refuse(403, "You have exceeded a secondary rate limit")), []time.Duration{time.Minute}, ""},
		"long":              {limited(1, refuse(403, "API rate limit exceeded", reset(2400)...)), nil, "used up until 08:40:01 UTC (for 40m1s)"},
		"again and again":   {limited(100, refuse(429, "", "Retry-After", "25")), []time.Duration{25 * time.Second, 25 * time.Second}, "(for 25s)"},
		"at once":           {limited(2, refuse(429, "", "Retry-After", "0")), []time.Duration{time.Second, time.Second}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFake(t)
			f.get("/actions/runs/5/artifacts", c.answer)
			_, err := f.client(nil).Artifacts(t.Context(), 5)
			if c.words != "" {
				want(t, err, Limited, c.words, "try again then")
			} else if err != nil {
				t.Error(err)
			}
			if !slices.Equal(f.slept, c.slept) {
				t.Errorf("waited %v, want %v", f.slept, c.slept)
			}
			if len(f.said) != len(f.slept) {
				t.Errorf("said %q before %d waits", f.said, len(f.slept))
			}
		})
	}
}

// An answer may say that it was the last one, for longer than the test lasts by
// the clock that go-github goes by. The next request finds out, as any other does.
func TestRateLimitRunsOut(t *testing.T) {
	for name, c := range map[string]struct {
		reset time.Duration // from now on
		slept []time.Duration
	}{
		"soon":  {20 * time.Second, []time.Duration{21 * time.Second}},
		"later": {40 * time.Minute, nil},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFake(t)
			f.now = time.Now().Truncate(time.Second)
			last := []string{"X-RateLimit-Limit", "1000", "X-RateLimit-Remaining", "0", "X-RateLimit-Reset", fmt.Sprint(f.now.Add(c.reset).Unix())}
			f.get("/actions/runs/5", func(w http.ResponseWriter, _ *http.Request) {
				for i := 0; i < len(last); i += 2 {
					w.Header().Set(last[i], last[i+1])
				}
				writeJSON(w, f.run(5, "push", "main", 1))
			})
			f.get("/actions/runs/5/artifacts", limited(1, refuse(403, "API rate limit exceeded", last...)))
			client := f.client(nil)
			if _, err := client.Run(t.Context(), 5); err != nil {
				t.Fatal(err)
			}
			_, err := client.Artifacts(t.Context(), 5)
			if c.slept == nil {
				want(t, err, Limited, "GitHub's rate limit is used up until", "try again then")
			} else if err != nil {
				t.Error(err)
			}
			if !slices.Equal(f.slept, c.slept) {
				t.Errorf("waited %v, want %v", f.slept, c.slept)
			}
		})
	}
}

func TestRun(t *testing.T) {
	f := newFake(t)
	f.get("/actions/runs/5", func(w http.ResponseWriter, _ *http.Request) { writeJSON(w, f.run(5, "push", "main", 1)) })
	f.get("/actions/runs/6", func(w http.ResponseWriter, _ *http.Request) { writeJSON(w, f.run(6, "pull_request", "topic", 2)) })
	c := f.client(nil)
	for id, fork := range map[int64]string{5: "", 6: "repo/2"} {
		run, err := c.Run(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		if run.ID != id || run.Fork != fork || run.Commit != "abc" || run.Attempt != 2 {
			t.Errorf("Run(%d) = %+v, want fork %q, commit abc, attempt 2", id, run, fork)
		}
	}
}
