package artifact

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/google/go-github/v60/github"
)

// Limits on what is read from the network.
const (
	MaxArchive = 256 << 20 // bytes of one zip file
	MaxFile    = 1 << 30   // bytes of one file in it, unpacked
	MaxEntries = 1000      // files in it
	maxPages   = 100       // of any list, of 100 entries each
)

// Options say which repository to ask, and how.
type Options struct {
	API        string // address of the API; "" is DefaultAPI
	Repository string // owner/name
	Token      string // "" reads public lists, and downloads nothing

	MaxWait time.Duration                                    // wait this long for the rate limit; 0 is a minute
	Say     func(text string)                                // told before a wait; nil says nothing
	Now     func() time.Time                                 // nil is time.Now
	Sleep   func(ctx context.Context, d time.Duration) error // nil sleeps

	limits limits // of a test; zero values stand for the constants
}

type limits struct {
	archive, file int64
	entries       int
}

// Client reads the runs and artifacts of one repository.
type Client struct {
	options     Options
	owner, name string
	api         *github.Client
	blobs       *http.Client // without the token
}

// New checks the options. It connects to nothing yet.
func New(o Options) (*Client, error) {
	o.API = strings.TrimSuffix(cmp.Or(o.API, DefaultAPI), "/") + "/"
	base, err := url.Parse(o.API)
	if err != nil {
		return nil, faultf(Misused, "pass https://HOST/api/v3", "reading the API's address: %w", err)
	}
	if base.Scheme != "https" && !(base.Scheme == "http" && loopback(base.Hostname())) || base.Host == "" {
		return nil, faultf(Misused, "pass https://HOST/api/v3", "the API's address is %q, want one with https: the token would travel in the clear", o.API)
	}
	if !validRepository(o.Repository) {
		return nil, faultf(Misused, "pass the repository as OWNER/NAME", "the repository is %q", o.Repository)
	}
	o.MaxWait = cmp.Or(o.MaxWait, time.Minute)
	if o.Say == nil {
		o.Say = func(string) {}
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Sleep == nil {
		o.Sleep = sleep
	}
	o.limits.archive = cmp.Or(o.limits.archive, MaxArchive)
	o.limits.file = cmp.Or(o.limits.file, MaxFile)
	o.limits.entries = cmp.Or(o.limits.entries, MaxEntries)
	c := &Client{options: o}
	c.owner, c.name, _ = strings.Cut(o.Repository, "/")
	network := http.DefaultTransport.(*http.Transport).Clone()
	network.ResponseHeaderTimeout = time.Minute
	c.api = github.NewClient(&http.Client{Transport: &transport{options: &c.options, host: base.Host, next: network}, Timeout: 10 * time.Minute})
	c.api.BaseURL = base
	c.blobs = &http.Client{Transport: network, Timeout: 30 * time.Minute, CheckRedirect: func(r *http.Request, via []*http.Request) error {
		if len(via) > 5 {
			return errors.New("more than 5 redirects")
		}
		return safeScheme(r.URL, base)
	}}
	return c, nil
}

// Repository is the owner/name of the repository that is asked.
func (c *Client) Repository() string { return c.options.Repository }

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// safeScheme lets artifacts come over https only, but for a test server.
func safeScheme(u, base *url.URL) error {
	if u.Scheme == "https" || u.Scheme == "http" && base.Scheme == "http" && loopback(u.Hostname()) {
		return nil
	}
	return fmt.Errorf("the artifact is at %s://%s, want https", u.Scheme, u.Host)
}

func sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}

// Run is one run of a workflow.
type Run struct {
	ID      int64
	Attempt int       // the newest
	Created time.Time // its first attempt
	Commit  string
	Branch  string
	Event   string
	Fork    string // owner/name of the fork that the run's commit came from, or ""
}

// Run asks for one run.
func (c *Client) Run(ctx context.Context, id int64) (*Run, error) {
	run, _, err := c.api.Actions.GetWorkflowRunByID(ctx, c.owner, c.name, id)
	if err != nil {
		return nil, fmt.Errorf("asking for run %d of %s: %w", id, c.options.Repository, fault(err))
	}
	return newRun(run), nil
}

func newRun(run *github.WorkflowRun) *Run {
	r := &Run{ID: run.GetID(), Attempt: run.GetRunAttempt(), Created: run.GetCreatedAt().Time, Commit: run.GetHeadSHA(), Branch: run.GetHeadBranch(), Event: run.GetEvent()}
	if run.GetHeadRepository().GetID() != run.GetRepository().GetID() {
		r.Fork = cmp.Or(run.GetHeadRepository().GetFullName(), "a deleted fork")
	}
	return r
}

// Artifact is one artifact of wcshard's in a run.
type Artifact struct {
	Name
	ID      int64
	Run     int64
	Size    int64 // bytes of the zip file
	Expired bool
	Fork    bool // the run's commit came from another repository
}

// Artifacts lists what wcshard left in a run, sorted by kind, shard and
// attempt. Two artifacts of one name are an error: which of them the run meant
// is not to be told.
func (c *Client) Artifacts(ctx context.Context, run int64) ([]Artifact, error) {
	var all []Artifact
	err := pages(func(page github.ListOptions) (*github.Response, error) {
		list, resp, err := c.api.Actions.ListWorkflowRunArtifacts(ctx, c.owner, c.name, run, &page)
		if err != nil {
			return nil, err
		}
		for _, a := range list.Artifacts {
			if name, ok := ParseName(a.GetName()); ok {
				all = append(all, Artifact{
					Name: name, ID: a.GetID(), Run: run, Size: a.GetSizeInBytes(), Expired: a.GetExpired(),
					Fork: foreign(a.GetWorkflowRun()),
				})
			}
		}
		return resp, nil
	})
	if err != nil {
		return nil, fmt.Errorf("listing the artifacts of run %d of %s: %w", run, c.options.Repository, fault(err))
	}
	slices.SortFunc(all, func(a, b Artifact) int {
		return cmp.Or(cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Shard, b.Shard), cmp.Compare(a.Attempt, b.Attempt), cmp.Compare(a.ID, b.ID))
	})
	for i := 1; i < len(all); i++ {
		if all[i].Name == all[i-1].Name && all[i].ID != all[i-1].ID {
			return nil, faultf(Ambiguous, "let one workflow run make one plan, and delete the artifact that is not meant",
				"run %d has several artifacts named %s (%d and %d)", run, all[i].Name, all[i-1].ID, all[i].ID)
		}
	}
	// A list that changes between two pages may show an artifact twice.
	return slices.CompactFunc(all, func(a, b Artifact) bool { return a.ID == b.ID }), nil
}

// foreign takes an artifact of which GitHub does not say whose it is for a
// stranger's.
func foreign(run *github.ArtifactWorkflowRun) bool {
	return run.GetHeadRepositoryID() == 0 || run.GetHeadRepositoryID() != run.GetRepositoryID()
}

// pages calls list for one page after the other, as the Link header says.
func pages(list func(page github.ListOptions) (*github.Response, error)) error {
	page := github.ListOptions{PerPage: 100}
	for range maxPages {
		resp, err := list(page)
		if err != nil {
			return err
		}
		if resp.NextPage == 0 {
			return nil
		}
		page.Page = resp.NextPage
	}
	return faultf(TooLarge, hintProxy, "the list has more than %d pages", maxPages)
}

// Newest returns the artifact that counts among a run's: of each kind and
// shard the one with the highest attempt that is not above the given one; 0
// is no limit.
func Newest(all []Artifact, kind Kind, attempt int) []Artifact {
	var newest []Artifact
	for _, a := range all { // by attempt within a shard
		if a.Kind != kind || attempt > 0 && a.Attempt > attempt {
			continue
		}
		if n := len(newest); n > 0 && newest[n-1].Shard == a.Shard {
			newest[n-1] = a
		} else {
			newest = append(newest, a)
		}
	}
	return newest
}

// OwnOnly refuses artifacts of a fork's run: a history that a stranger wrote
// would plan everybody's runs.
func OwnOnly(all []Artifact) error {
	for _, a := range all {
		if a.Fork {
			return faultf(Foreign, "take the history of a run of this repository's own branches", "artifact %s of run %d was made from a fork's commit", a.Name, a.Run)
		}
	}
	return nil
}

// fault takes our own error out of what net/http wrapped round it, and makes
// one of what is not ours.
func fault(err error) error {
	var own *Error
	if errors.As(err, &own) {
		return own
	}
	if errors.Is(err, context.Canceled) {
		return err
	}
	return &Error{Fault: Unreachable, Err: err}
}
