package artifact

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"time"

	"github.com/google/go-github/v60/github"
)

// How far the search for a history goes back.
const (
	maxRuns     = 30 // good runs of a workflow, and of all
	maxNamed    = 5  // pages of the list of artifacts of one name
	maxAttempts = 3  // at a run that are told by their artifacts' names
)

// trusted are the events whose runs on the default branch run nobody's code
// but the branch's own. A fork may name its branch like the default branch, so
// the branch alone says nothing.
var trusted = map[string]bool{"push": true, "schedule": true, "workflow_dispatch": true, "repository_dispatch": true}

// History finds the artifacts to learn from in the newest good run of the
// default branch that has any: its history, or else the results of its shards.
// The runs of one workflow, by its file's name, come first, as others may test
// something else or on other machines; then those of all. "" is all at once.
func (c *Client) History(ctx context.Context, workflow string) (*Run, []Artifact, error) {
	repo, _, err := c.api.Repositories.Get(ctx, c.owner, c.name)
	if err != nil {
		return nil, nil, fmt.Errorf("asking for the default branch of %s: %w", c.options.Repository, fault(err))
	}
	s := search{client: c, branch: repo.GetDefaultBranch(), looked: map[int64]bool{}, lists: map[Name]*namesakes{}}
	if workflow != "" {
		run, found, err := s.history(ctx, workflow)
		var none *Error
		if !errors.As(err, &none) || none.Fault != Missing {
			return run, found, err
		}
	}
	return s.history(ctx, "")
}

// search is one search for a history. GitHub allows the workflows of a repository
// 1,000 requests an hour, all together, and where there is no history yet each of
// their runs searches for it: so no run is looked at twice, and once one was in
// vain, only those of whose artifacts GitHub's lists of names say that they exist.
type search struct {
	client *Client
	branch string
	looked map[int64]bool // runs whose artifacts were listed
	lists  map[Name]*namesakes
}

func (s *search) history(ctx context.Context, workflow string) (*Run, []Artifact, error) {
	runs, err := s.goodRuns(ctx, workflow)
	if err != nil {
		return nil, nil, err
	}
	for _, run := range runs {
		if may, err := s.mayHave(ctx, run); err != nil {
			return nil, nil, err
		} else if !may {
			continue
		}
		s.looked[run.ID] = true
		all, err := s.client.Artifacts(ctx, run.ID)
		if err != nil {
			return nil, nil, err
		}
		all = slices.DeleteFunc(all, func(a Artifact) bool { return a.Expired || a.Fork })
		for _, kind := range []Kind{Timings, Results} {
			if found := Newest(all, kind, 0); len(found) > 0 {
				return run, found, nil
			}
		}
	}
	return nil, nil, faultf(Missing, "the first green run of the default branch leaves one",
		"none of the last %d good runs of the default branch of %s has a history", len(runs), s.client.options.Repository)
}

// goodRuns returns the newest successful runs of the default branch, newest
// first, without those of pull requests and forks.
func (s *search) goodRuns(ctx context.Context, workflow string) ([]*Run, error) {
	c := s.client
	o := &github.ListWorkflowRunsOptions{Branch: s.branch, Status: "success", ListOptions: github.ListOptions{PerPage: 100}}
	var list *github.WorkflowRuns
	var err error
	if workflow == "" {
		list, _, err = c.api.Actions.ListRepositoryWorkflowRuns(ctx, c.owner, c.name, o)
	} else {
		list, _, err = c.api.Actions.ListWorkflowRunsByFileName(ctx, c.owner, c.name, url.PathEscape(workflow), o)
	}
	if err != nil {
		return nil, fmt.Errorf("listing the runs of %s: %w", c.options.Repository, fault(err))
	}
	var runs []*Run
	for _, run := range list.WorkflowRuns {
		if r := newRun(run); r.Fork == "" && trusted[r.Event] && r.Branch == o.Branch && len(runs) < maxRuns {
			runs = append(runs, r)
		}
	}
	return runs, nil
}

// mayHave reports whether a run is worth a look. The first one is, as mostly it
// has what is searched for. Of the others, those are that have a history or a plan:
// whichever run has results has a plan, too, and its name can be asked for, while
// that of results has their shard's in it.
func (s *search) mayHave(ctx context.Context, run *Run) (bool, error) {
	switch {
	case s.looked[run.ID]:
		return false, nil
	case len(s.looked) == 0 || run.Attempt > maxAttempts:
		return true, nil
	}
	for attempt := 1; attempt <= max(1, run.Attempt); attempt++ {
		for _, kind := range []Kind{Timings, Plan} {
			name := Name{Kind: kind, Attempt: attempt}
			if s.lists[name] == nil {
				s.lists[name] = &namesakes{runs: map[int64]bool{}, next: 1}
			}
			if has, err := s.lists[name].have(ctx, s.client, name, run); has || err != nil {
				return has, err
			}
		}
	}
	return false, nil
}

// namesakes are a repository's artifacts of one name, newest first, as far as they
// were read. Where the default branch has none, pull requests may have hundreds.
type namesakes struct {
	runs   map[int64]bool // that have one which has not expired
	next   int            // page to read; 0 is none
	oldest time.Time      // of those that were read
}

// have reports whether a run has one of them. The list is read until it comes to
// what was made before the run was.
func (n *namesakes) have(ctx context.Context, c *Client, name Name, run *Run) (bool, error) {
	for !n.runs[run.ID] && n.next > 0 && (n.oldest.IsZero() || !n.oldest.Before(run.Created)) {
		// go-github v60 cannot ask for a name.
		query := url.Values{"name": {name.String()}, "per_page": {"100"}, "page": {fmt.Sprint(n.next)}}
		request, err := c.api.NewRequest(http.MethodGet, fmt.Sprintf("repos/%s/%s/actions/artifacts?%s", c.owner, c.name, query.Encode()), nil)
		if err != nil {
			return false, err
		}
		list := new(github.ArtifactList)
		resp, err := c.api.Do(ctx, request, list)
		if err != nil {
			return false, fmt.Errorf("listing the artifacts %s of %s: %w", name, c.options.Repository, fault(err))
		}
		for _, a := range list.Artifacts {
			if !a.GetExpired() && !foreign(a.GetWorkflowRun()) {
				n.runs[a.GetWorkflowRun().GetID()] = true
			}
			n.oldest = a.GetCreatedAt().Time
		}
		if n.next = resp.NextPage; n.next > maxNamed {
			n.next = 0
		}
	}
	return n.runs[run.ID], nil
}
