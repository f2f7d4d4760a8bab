package artifact

import (
	"archive/zip"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
	"github.com/getkin/kin-openapi/routers/gorillamux"
)

const token = "secret-token"

// fake is GitHub's API, and the host that artifacts are stored on. Each request
// and each successful answer of the API is checked against GitHub's OpenAPI
// description.
type fake struct {
	t       *testing.T
	schemas openapi3.Schemas
	router  routers.Router
	api     *httptest.Server
	blobs   *httptest.Server
	mux     *http.ServeMux
	blob    http.HandlerFunc
	now     time.Time
	slept   []time.Duration
	said    []string
	calls   int
	stored  []map[string]any // the artifacts of all runs
}

func newFake(t *testing.T) *fake {
	text, err := os.ReadFile("testdata/openapi.json")
	if err != nil {
		t.Fatal(err)
	}
	doc, err := openapi3.NewLoader().LoadFromData(text)
	if err != nil {
		t.Fatal(err)
	}
	doc.Servers = nil
	f := &fake{t: t, schemas: doc.Components.Schemas, mux: http.NewServeMux(), now: time.Unix(1_800_000_000, 0)}
	if f.router, err = gorillamux.NewRouter(doc); err != nil {
		t.Fatal(err)
	}
	f.api = httptest.NewServer(http.HandlerFunc(f.serve))
	f.blobs = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "" {
			t.Error("the token went to the host of the artifact")
			http.Error(w, "InvalidAuthenticationInfo", http.StatusBadRequest)
			return
		}
		f.blob(w, r)
	}))
	t.Cleanup(f.api.Close)
	t.Cleanup(f.blobs.Close)
	f.branch()
	f.named()
	return f
}

func (f *fake) serve(w http.ResponseWriter, r *http.Request) {
	f.calls++
	if got := r.Header.Get("Authorization"); got != "Bearer "+token {
		f.t.Errorf("%s has Authorization %q", r.URL, got)
	}
	route, params, err := f.router.FindRoute(r)
	if err != nil {
		f.t.Errorf("GitHub has no %s %s: %v", r.Method, r.URL, err)
		return
	}
	in := &openapi3filter.RequestValidationInput{Request: r, PathParams: params, Route: route,
		Options: &openapi3filter.Options{AuthenticationFunc: openapi3filter.NoopAuthenticationFunc, IncludeResponseStatus: true}}
	if err := openapi3filter.ValidateRequest(r.Context(), in); err != nil {
		f.t.Errorf("%s %s: %v", r.Method, r.URL, err)
	}
	for name := range r.URL.Query() {
		if route.Operation.Parameters.GetByInAndName("query", name) == nil {
			f.t.Errorf("%s has no parameter %s", r.URL.Path, name)
		}
	}
	recorder := httptest.NewRecorder()
	f.mux.ServeHTTP(recorder, r)
	if recorder.Code == http.StatusOK {
		err := openapi3filter.ValidateResponse(context.Background(), &openapi3filter.ResponseValidationInput{
			RequestValidationInput: in, Status: recorder.Code, Header: recorder.Header(), Options: in.Options,
			Body: io.NopCloser(bytes.NewReader(recorder.Body.Bytes())),
		})
		if err != nil {
			f.t.Errorf("the fake's answer to %s is not GitHub's: %v", r.URL, err)
		}
	}
	for key, values := range recorder.Header() {
		w.Header()[key] = values
	}
	w.WriteHeader(recorder.Code)
	w.Write(recorder.Body.Bytes())
}

func (f *fake) client(change func(*Options)) *Client {
	f.t.Helper()
	o := Options{
		API: f.api.URL, Repository: "acme/weather", Token: token,
		Now: func() time.Time { return f.now },
		Say: func(text string) { f.said = append(f.said, text) },
		Sleep: func(_ context.Context, d time.Duration) error {
			f.slept = append(f.slept, d)
			f.now = f.now.Add(d)
			return nil
		},
	}
	if change != nil {
		change(&o)
	}
	c, err := New(o)
	if err != nil {
		f.t.Fatal(err)
	}
	return c
}

const base = "/repos/acme/weather"

func (f *fake) get(path string, answer http.HandlerFunc) {
	f.mux.HandleFunc("GET "+base+path, answer)
}

func writeJSON(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	json.NewEncoder(w).Encode(v)
}

// stored is an artifact as the API shows it.
func stored(id int, name string, change ...func(map[string]any)) map[string]any {
	a := map[string]any{
		"id": id, "node_id": "n", "name": name, "size_in_bytes": 100, "url": "https://x", "archive_download_url": "https://x",
		"expired": false, "created_at": "2026-11-01T00:00:00Z", "expires_at": "2026-12-01T00:00:00Z", "updated_at": "2026-11-01T00:00:00Z",
		"workflow_run": map[string]any{"id": 5, "repository_id": 1, "head_repository_id": 1, "head_branch": "main", "head_sha": "abc"},
	}
	for _, c := range change {
		c(a)
	}
	return a
}

// createdOn gives what the API shows a date in November 2026.
func createdOn(day int, a map[string]any) map[string]any {
	a["created_at"] = fmt.Sprintf("2026-11-%02dT00:00:00Z", day)
	return a
}

func fromFork(a map[string]any) { a["workflow_run"].(map[string]any)["head_repository_id"] = 2 }
func expired(a map[string]any)  { a["expired"] = true }

// artifacts answers with what a run has. So does the list of the repository's.
func (f *fake) artifacts(run int, list ...map[string]any) {
	for _, a := range list {
		if of, ok := a["workflow_run"].(map[string]any); ok {
			of["id"] = run
		}
	}
	f.stored = append(f.stored, list...)
	f.get(fmt.Sprintf("/actions/runs/%d/artifacts", run), func(w http.ResponseWriter, r *http.Request) {
		writeJSON(w, map[string]any{"total_count": len(list), "artifacts": list})
	})
}

// named answers with the repository's artifacts of one name, in pages of 100.
func (f *fake) named() {
	f.get("/actions/artifacts", func(w http.ResponseWriter, r *http.Request) {
		query := r.URL.Query()
		page, _ := strconv.Atoi(query.Get("page"))
		if query.Get("name") == "" || query.Get("per_page") != "100" {
			f.t.Errorf("asked for %s, want pages of 100 of one name", r.URL)
		}
		var list []map[string]any
		for _, a := range f.stored {
			if a["name"] == query.Get("name") {
				list = append(list, a)
			}
		}
		from, to := min(len(list), 100*(page-1)), min(len(list), 100*page)
		if to < len(list) {
			w.Header().Set("Link", fmt.Sprintf(`<%s%s?page=%d>; rel="next"`, f.api.URL, r.URL.Path, page+1))
		}
		writeJSON(w, map[string]any{"total_count": len(list), "artifacts": append([]map[string]any{}, list[from:to]...)})
	})
}

// download answers artifact 7 with the body.
func (f *fake) download(body []byte) {
	f.get("/actions/artifacts/7/zip", func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, f.blobs.URL+"/blob?sig=1", http.StatusFound)
	})
	f.blob = func(w http.ResponseWriter, _ *http.Request) { w.Write(body) }
}

type entry struct{ name, text string }

func zipped(t *testing.T, entries ...entry) []byte {
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	for _, e := range entries {
		w, err := z.Create(e.name)
		if err != nil {
			t.Fatal(err)
		}
		io.WriteString(w, e.text)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// want checks for a fault, and for words in its message and its hint.
func want(t *testing.T, err error, fault Fault, words ...string) {
	t.Helper()
	own, ok := asError(err)
	if !ok || own.Fault != fault {
		t.Fatalf("error %v, want fault %d", err, fault)
	}
	for _, word := range words {
		if !strings.Contains(err.Error()+"\n"+own.Hint, word) {
			t.Errorf("error %q with hint %q does not say %q", err, own.Hint, word)
		}
	}
	if strings.Contains(err.Error(), token) {
		t.Errorf("error %q holds the token", err)
	}
}

// sample is the least that a schema of GitHub's description allows: zero
// values of what is required.
func (f *fake) sample(schema *openapi3.Schema) any {
	switch {
	case schema.Nullable:
		return nil
	case len(schema.Enum) > 0:
		return schema.Enum[0]
	case schema.Type.Is("integer"), schema.Type.Is("number"):
		return 0
	case schema.Type.Is("boolean"):
		return false
	case schema.Type.Is("array"):
		return []any{}
	case schema.Type.Is("string"):
		return map[string]string{"date-time": "2026-11-01T00:00:00Z", "uri": "https://x", "email": "a@x"}[schema.Format]
	case len(schema.AllOf) > 0:
		return f.sample(schema.AllOf[0].Value)
	}
	object := map[string]any{}
	for _, name := range schema.Required {
		object[name] = f.sample(schema.Properties[name].Value)
	}
	return object
}

// run is a workflow run as the API shows it.
func (f *fake) run(id int, event, branch string, head int) map[string]any {
	run := f.sample(f.schemas["workflow-run"].Value).(map[string]any)
	repo := func(id int, name string) map[string]any {
		r := f.sample(f.schemas["minimal-repository"].Value).(map[string]any)
		r["id"], r["full_name"] = id, name
		return r
	}
	run["id"], run["event"], run["head_branch"], run["head_sha"], run["run_attempt"] = id, event, branch, "abc", 2
	run["repository"], run["head_repository"] = repo(1, "acme/weather"), repo(head, fmt.Sprint("repo/", head))
	return run
}

// branch answers with the default branch.
func (f *fake) branch() {
	f.get("", func(w http.ResponseWriter, _ *http.Request) {
		repo := f.sample(f.schemas["full-repository"].Value).(map[string]any)
		repo["default_branch"] = "main"
		writeJSON(w, repo)
	})
}

// runs answers with the default branch's runs.
func (f *fake) runs(path string, runs ...map[string]any) {
	f.get(path, func(w http.ResponseWriter, r *http.Request) {
		if q := r.URL.Query(); q.Get("branch") != "main" || q.Get("status") != "success" {
			f.t.Errorf("asked for %s, want successful runs of main", r.URL)
		}
		writeJSON(w, map[string]any{"total_count": len(runs), "workflow_runs": runs})
	})
}
