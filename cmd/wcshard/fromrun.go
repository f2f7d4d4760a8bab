package main

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os/exec"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/pflag"

	"github.com/wcshard/wcshard/shard"
	"github.com/wcshard/wcshard/timing"
	"github.com/wcshard/wcshard/timing/artifact"
)

// remoteOptions say which run on GitHub to read from.
type remoteOptions struct {
	run  string
	repo string
	api  string
}

func (o *remoteOptions) flags(f *pflag.FlagSet, what string) {
	f.StringVar(&o.run, "from-run", "", what+" an earlier run on GitHub, `ID|URL` of the run or of one of its jobs")
	o.where(f, "--from-run")
}

// where binds the flags that say which repository to ask.
func (o *remoteOptions) where(f *pflag.FlagSet, with string) {
	f.StringVar(&o.repo, "repo", "", "with "+with+": `OWNER/NAME` of the repository (default: of the URL, $GITHUB_REPOSITORY, or git's remote origin)")
	f.StringVar(&o.api, "api-url", "", "with "+with+": `URL` of the GitHub API (default: $GITHUB_API_URL, or github.com's)")
}

// remote is a run on GitHub with what it left.
type remote struct {
	sys       *system
	client    *artifact.Client
	run       *artifact.Run
	attempt   int // results and plans of later ones do not count; 0 is no limit
	artifacts []artifact.Artifact
}

// open finds the run and lists its artifacts.
func (o *remoteOptions) open(ctx context.Context, sys *system) (*remote, error) {
	ref, err := artifact.ParseRun(o.run)
	if err != nil {
		return nil, fmt.Errorf("reading --from-run: %w", err)
	}
	client, err := o.connect(ctx, sys, ref)
	if err != nil {
		return nil, err
	}
	r := &remote{sys: sys, client: client, attempt: ref.Attempt}
	if ref.Job > 0 && r.attempt == 0 {
		if r.attempt, err = client.JobAttempt(ctx, ref.Job); err != nil {
			sys.warn("which attempt that job belongs to is not known, and the newest is taken: %v", err)
		}
	}
	if r.run, err = client.Run(ctx, ref.ID); err != nil {
		return nil, err
	}
	r.artifacts, err = client.Artifacts(ctx, ref.ID)
	return r, err
}

// connect makes a client for the repository of a run, or, for the zero ref, of
// this checkout.
func (o *remoteOptions) connect(ctx context.Context, sys *system, ref artifact.RunRef) (*artifact.Client, error) {
	api := cmp.Or(o.api, sys.getenv("GITHUB_API_URL"), artifact.DefaultAPI)
	if ref.Host != "" && !artifact.ServesHost(api, ref.Host) {
		return nil, usagef(trustHint(ref.Host), "the run is on %s, and the API is %s", ref.Host, api)
	}
	repo, err := o.repository(ctx, sys, ref, api)
	if err != nil {
		return nil, err
	}
	return artifact.New(artifact.Options{
		API: api, Repository: repo, Token: githubToken(ctx, sys, api),
		Say: func(text string) { sys.say("%s", text) },
	})
}

// trustHint names the API of a host: GitHub's cloud has it on a name of its
// own, an own server below a path.
func trustHint(host string) string {
	api := "https://" + host + "/api/v3"
	if host == "github.com" || strings.HasSuffix(host, ".ghe.com") {
		api = "https://api." + host
	}
	return "if you trust that host with your token: --api-url " + api
}

func (o *remoteOptions) repository(ctx context.Context, sys *system, ref artifact.RunRef, api string) (string, error) {
	if name := cmp.Or(o.repo, ref.Repository, sys.getenv("GITHUB_REPOSITORY")); name != "" {
		return name, nil
	}
	const hint = "pass --repo OWNER/NAME, or the run's URL"
	origin, err := output(ctx, sys, "git", "remote", "get-url", "origin")
	if err != nil {
		return "", usagef(hint, "which repository is not known: asking git for its remote origin: %w", err)
	}
	host, name, ok := artifact.ParseRemote(origin)
	if !ok {
		return "", usagef(hint, "which repository is not known: git's remote origin is no repository on GitHub")
	}
	if !artifact.ServesHost(api, host) {
		return "", usagef(trustHint(host), "git's remote origin is on %s, and the API is %s", host, api)
	}
	return name, nil
}

// githubToken looks where GitHub's own tools do; "" where there is none.
func githubToken(ctx context.Context, sys *system, api string) string {
	if token := cmp.Or(sys.getenv(tokenVariable), sys.getenv("GITHUB_TOKEN"), sys.getenv("GH_TOKEN")); token != "" {
		return strings.TrimSpace(token)
	}
	host := "github.com"
	if u, err := url.Parse(api); err == nil && api != artifact.DefaultAPI {
		host = strings.TrimPrefix(u.Hostname(), "api.")
	}
	token, err := output(ctx, sys, "gh", "auth", "token", "--hostname", host)
	if err != nil {
		return ""
	}
	return token
}

// output returns what a command prints, without the space round it.
func output(ctx context.Context, sys *system, name string, args ...string) (string, error) {
	command := exec.CommandContext(ctx, name, args...)
	command.Env = sys.environ
	text, err := command.Output()
	return strings.TrimSpace(string(text)), err
}

// hintArtifact is for an artifact whose file is none of ours, or broken.
const hintArtifact = "another program may have uploaded an artifact of that name; if not, run the workflow again"

// openFile downloads an artifact and opens the file of that name in it, which
// may be compressed. It also returns what messages call the file.
func openFile(ctx context.Context, client *artifact.Client, from artifact.Artifact, name string) (text io.ReadCloser, called string, err error) {
	archive, err := client.Download(ctx, from)
	if err != nil {
		return nil, "", err
	}
	file, err := archive.Find(name, name+".gz")
	if err != nil {
		return nil, "", err
	}
	text, err = file.Open()
	return text, from.Name.String() + "/" + file.Name, err
}

// plan downloads the plan that the run's newest attempt ran.
func (r *remote) plan(ctx context.Context, trustFork bool) (*shard.Plan, error) {
	if r.run.Fork != "" && !trustFork {
		return nil, &failure{status: exitData, err: fmt.Errorf("run %d ran a commit of %s, and its plan has arguments for pytest that a stranger may have chosen", r.run.ID, printable(r.run.Fork)),
			hint: "pass --trust-fork if you trust whoever wrote that commit"}
	}
	found := artifact.Newest(r.artifacts, artifact.Plan, r.attempt)
	if len(found) == 0 {
		return nil, r.missing("plan")
	}
	text, name, err := openFile(ctx, r.client, found[0], defaultPlan)
	if err != nil {
		return nil, err
	}
	defer text.Close()
	plan, err := shard.ReadPlan(text, name)
	if err != nil {
		return nil, advise(fmt.Errorf("reading the plan of run %d: %w", r.run.ID, err), hintArtifact)
	}
	r.sys.say("plan %s of run %d (%s)", found[0].Name, r.run.ID, count(len(plan.Shards), "shard"))
	return plan, nil
}

func (r *remote) missing(what string) error {
	return &failure{status: exitNoInput, err: fmt.Errorf("run %d has no artifact with a %s", r.run.ID, what),
		hint: "was it a run of a workflow with wcshard, and did its matrix job end well?"}
}

// warnHead says when the tests here are not those that ran there.
func (r *remote) warnHead(ctx context.Context) {
	head, err := output(ctx, r.sys, "git", "rev-parse", "HEAD")
	switch {
	case err != nil:
		r.sys.warn("this is no git checkout: whether it is the commit %.12s of run %d is not known", printable(r.run.Commit), r.run.ID)
	case r.run.Event == "pull_request":
		// Of such a run GitHub names the branch's own commit, which is not what it
		// checks out. A merge with another commit of the base is as near as one gets.
		if branch, err := output(ctx, r.sys, "git", "rev-parse", "--verify", "--quiet", "HEAD^2"); err == nil && branch == r.run.Commit {
			return
		}
		r.sys.warn("run %d of a pull request ran %.12s as merged with its base, and HEAD is %.12s: to have the same tests, git fetch origin pull/NUMBER/merge && git checkout FETCH_HEAD, with the pull request's number", r.run.ID, printable(r.run.Commit), head)
	case head != r.run.Commit:
		r.sys.warn("HEAD is %.12s, and run %d ran %.12s: to have the same tests, git checkout %[3]s", head, r.run.ID, printable(r.run.Commit))
	}
}

// results downloads the results of the newest attempts: of all shards, or of
// one. Of files that were torn at birth, in their first line, the first is an error
// only where there is no other.
func (r *remote) results(ctx context.Context, only string) ([]*timing.Results, error) {
	var all []*timing.Results
	var torn []error
	for _, a := range artifact.Newest(r.artifacts, artifact.Results, r.attempt) {
		if only != "" && a.Shard != only && a.Shard != allSession {
			continue
		}
		archive, err := r.client.Download(ctx, a)
		if err != nil {
			return nil, err
		}
		for _, file := range archive.Files {
			if !isResults(path.Base(file.Name)) {
				continue
			}
			results, err := r.read(a, file)
			if err != nil {
				err = advise(fmt.Errorf("run %d: %w", r.run.ID, err), hintArtifact)
			}
			switch {
			case err == nil:
				all = append(all, results)
			case tornAtBirth(err) != nil:
				torn = append(torn, err)
			default:
				return nil, err
			}
		}
	}
	if len(all) == 0 && len(torn) > 0 {
		return nil, torn[0]
	}
	for _, err := range torn {
		r.sys.warn("a file is left out: %v", err)
	}
	return all, nil
}

func (r *remote) read(a artifact.Artifact, file *artifact.File) (*timing.Results, error) {
	text, err := file.Open()
	if err != nil {
		return nil, err
	}
	defer text.Close()
	results, err := timing.ReadResults(text, a.Name.String()+"/"+file.Name)
	if err != nil {
		return nil, err
	}
	for _, warning := range results.Warnings {
		r.sys.warn("%v", warning)
	}
	return results, nil
}

// failed returns the tests of a shard that failed in the run, or during which
// the run died.
func (r *remote) failed(ctx context.Context, plan *shard.Plan, s *shard.Shard) (map[timing.NodeID]bool, error) {
	all, err := r.results(ctx, s.Name)
	if err != nil {
		return nil, err
	}
	var newest *timing.Results
	for _, one := range all {
		if one.Header.Plan == plan.Digest && slices.Contains(one.Header.Shards, s.Name) && (newest == nil || one.Header.Attempt > newest.Header.Attempt) {
			newest = one
		}
	}
	if newest == nil {
		return nil, r.missing("result of " + s.Name + " for this plan")
	}
	bad := map[timing.NodeID]bool{}
	for _, test := range newest.Tests {
		if test.Outcome.Bad() {
			bad[test.ID] = true
		}
	}
	for _, test := range newest.Running {
		bad[test.ID] = true
	}
	if !newest.Ended {
		r.sys.warn("%s ended early in run %d; what it did not come to is left out", s.Name, r.run.ID)
	}
	return bad, nil
}

// reduce returns a plan in which a shard is left with the given tests, and with
// those before them where context is wanted. The rest becomes a shard of its
// own, so that its tests count as somebody else's. The plan has another digest:
// what a part of a shard did says nothing of the shard.
func reduce(plan *shard.Plan, s *shard.Shard, keep map[timing.NodeID]bool, context bool) (*shard.Plan, *shard.Shard, error) {
	last := -1
	for i, id := range s.IDs() {
		if keep[id] {
			last = i
		}
	}
	if last < 0 {
		return nil, nil, errors.New("no test of " + s.Name + " failed there")
	}
	part, rest := *s, *s
	part.Name, rest.Name = s.Name+"-failed", s.Name+"-rest"
	part.Pieces, rest.Pieces = nil, nil
	hash := sha256.New()
	fmt.Fprintln(hash, plan.Digest)
	n := 0
	for _, piece := range s.Pieces {
		mine, other := piece, piece
		mine.Tests, other.Tests = nil, nil
		mine.Needs, other.Needs = nil, nil
		mine.Units, other.Units = nil, nil // what stayed together for its set-ups is not whole any more
		mine.Setups, other.Setups = nil, nil
		needs := piece.Needs
		for i, test := range piece.Tests {
			id := timing.NodeID(piece.File + test)
			to := &other
			if keep[id] || context && n <= last {
				to = &mine
				fmt.Fprintf(hash, "%q\n", id)
			}
			to.Needs = appendNeed(to.Needs, len(to.Tests), &needs, i)
			to.Tests = append(to.Tests, test)
			n++
		}
		if len(mine.Tests) > 0 {
			part.Pieces = append(part.Pieces, mine)
		}
		if len(other.Tests) > 0 {
			rest.Pieces = append(rest.Pieces, other)
		}
	}
	reduced := *plan
	reduced.Digest = "sha256:" + hex.EncodeToString(hash.Sum(nil))
	reduced.Shards = nil
	at := 0
	for i := range plan.Shards {
		if plan.Shards[i].Name != s.Name {
			reduced.Shards = append(reduced.Shards, plan.Shards[i])
			continue
		}
		at = len(reduced.Shards)
		reduced.Shards = append(reduced.Shards, part, rest)
	}
	return &reduced, &reduced.Shards[at], nil
}

// fromRunOptions are what wcshard run takes from an earlier run.
type fromRunOptions struct {
	remoteOptions
	failed    bool
	context   bool
	trustFork bool
	remote    *remote // once it is open
}

func (o *fromRunOptions) flags(f *pflag.FlagSet) {
	o.remoteOptions.flags(f, "run what ran in")
	f.BoolVar(&o.failed, "failed", false, "with --from-run: only the tests that failed there")
	f.BoolVar(&o.context, "with-context", false, "with --failed: also run the tests before them, in the shard's order")
	f.BoolVar(&o.trustFork, "trust-fork", false, "with --from-run: accept the plan of a fork's commit, with the pytest arguments in it")
}

func (o *runOptions) validateFrom() error {
	from := &o.from
	switch {
	case from.run == "" && (from.failed || from.trustFork):
		return usagef("pass the number or the URL of a run", "--failed and --trust-fork go with --from-run")
	case from.context && !from.failed:
		return usagef("add --failed", "--with-context goes with --failed")
	case from.failed && o.all:
		return usagef("pass --shard NAME", "--failed and --all exclude each other")
	case from.run != "" && o.plan != defaultPlan:
		return usagef("leave one of them out", "--from-run and --plan exclude each other")
	}
	return nil
}

// readPlan reads the plan file, or downloads the plan of an earlier run.
func (o *runOptions) readPlan(ctx context.Context, sys *system) (*shard.Plan, error) {
	if o.from.run == "" {
		return findPlan(sys, o.plan, o.digest)
	}
	r, err := o.from.open(ctx, sys)
	if err != nil {
		return nil, err
	}
	o.from.remote = r
	plan, err := r.plan(ctx, o.from.trustFork)
	if err != nil {
		return nil, err
	}
	r.warnHead(ctx)
	return plan, nil
}

// chosen is the shard to run, or what of it failed.
func (o *runOptions) chosen(ctx context.Context, plan *shard.Plan) (*shard.Plan, *shard.Shard, error) {
	s, err := findShard(plan, o.shard)
	if err != nil || !o.from.failed {
		return plan, s, err
	}
	bad, err := o.from.remote.failed(ctx, plan, s)
	if err != nil {
		return nil, nil, err
	}
	reduced, part, err := reduce(plan, s, bad, o.from.context)
	if err != nil {
		return nil, nil, &failure{status: exitNoTests, err: fmt.Errorf("looking for failed tests in run %d: %w", o.from.remote.run.ID, err), hint: "leave out --failed to run the whole shard"}
	}
	return reduced, part, nil
}

// words are the flags that name the run, for the line that runs a shard again.
func (o *fromRunOptions) words() []string {
	if o.run == "" {
		return nil
	}
	words := []string{"--from-run", o.run}
	for _, flag := range []struct{ name, value string }{{"--repo", o.repo}, {"--api-url", o.api}} {
		if flag.value != "" {
			words = append(words, flag.name, flag.value)
		}
	}
	for _, flag := range []struct {
		name string
		set  bool
	}{{"--failed", o.failed}, {"--with-context", o.context}, {"--trust-fork", o.trustFork}} {
		if flag.set {
			words = append(words, flag.name)
		}
	}
	return words
}

// learn downloads the results of a run's shards for the history, and finds out
// what its jobs took outside pytest. A fork's are refused: what a stranger
// measured would plan everybody's runs.
func (o *remoteOptions) learn(ctx context.Context, sys *system) ([]*timing.Results, *timing.History, error) {
	r, err := o.open(ctx, sys)
	if err != nil {
		return nil, nil, err
	}
	if err := artifact.OwnOnly(r.artifacts); err != nil {
		return nil, nil, err
	}
	results, err := r.results(ctx, "")
	if err != nil {
		return nil, nil, err
	}
	if len(results) == 0 {
		return nil, nil, r.missing("shard's results")
	}
	return results, r.overheads(ctx, results), nil
}

// overheads asks what the run's jobs took beside the sessions of the results.
// That it cannot be had is a warning: results are worth more.
func (r *remote) overheads(ctx context.Context, results []*timing.Results) *timing.History {
	jobs, err := r.client.Jobs(ctx, r.run.ID)
	if err != nil {
		r.sys.warn("what jobs take outside pytest is not known: %v", err)
		for _, hint := range hints(err) {
			r.sys.say("hint: %s", hint)
		}
		return new(timing.History)
	}
	var all []timing.JobOverhead
	for _, one := range results {
		h := &one.Header
		if !one.Ended || len(h.Shards) != 1 {
			continue
		}
		if overhead, queued, ok := artifact.Overhead(jobs, h.Shards[0], h.Attempt, h.Started, one.Elapsed); ok {
			all = append(all, timing.JobOverhead{Results: one, Overhead: overhead, Queued: queued})
		}
	}
	if len(all) < len(results) {
		r.sys.say("%d of %s of run %d found by name, to see what jobs take outside pytest", len(all), count(len(results), "job"), r.run.ID)
	}
	return timing.FromJobs(all...)
}

// maxSampled is how many shards' results are downloaded beside a history to see
// what their jobs took outside pytest: enough for a median, of pool jobs and as many
// of memory jobs, which may have other runners.
const maxSampled = 4

// sampled returns the results that are.
func sampled(all []artifact.Artifact) []artifact.Artifact {
	pools, others := 0, 0
	return slices.DeleteFunc(all, func(a artifact.Artifact) bool {
		n := &others
		if strings.HasPrefix(a.Shard, "pool-") {
			n = &pools
		}
		*n++
		return *n > maxSampled
	})
}

// addOverheads adds what the run's jobs took outside pytest to its history, where
// that is not known.
func (r *remote) addOverheads(ctx context.Context, history *timing.History) {
	if history.KnowsJobs(strconv.FormatInt(r.run.ID, 10)) {
		return
	}
	all, err := r.client.Artifacts(ctx, r.run.ID)
	if err == nil {
		all = sampled(artifact.Newest(slices.DeleteFunc(all, func(a artifact.Artifact) bool { return a.Expired || a.Fork }), artifact.Results, 0))
		some := *r
		some.artifacts = all
		var results []*timing.Results
		if results, err = some.results(ctx, ""); err == nil && len(results) > 0 {
			history.Merge(r.overheads(ctx, results))
		}
	}
	if err != nil {
		r.sys.warn("what jobs take outside pytest is not known: %v", err)
	}
}

// fromGitHub is the --timings that stands for a run's artifact.
const fromGitHub = "github"

// history downloads the history of the newest good run of the default branch,
// or makes one of its results. A plan is also made without: what stands in the
// way is a warning.
func (o *remoteOptions) history(ctx context.Context, sys *system) (*timing.History, error) {
	history, err := o.download(ctx, sys)
	var fault *artifact.Error
	if !errors.As(err, &fault) || fault.Fault == artifact.Misused {
		return history, err
	}
	sys.warn("there is no history from GitHub: %v", err)
	if fault.Hint != "" {
		sys.say("hint: %s", fault.Hint)
	}
	return new(timing.History), nil
}

// workflowFile is the file name of the workflow that this job belongs to; ""
// outside of GitHub Actions, and where the workflow is another repository's.
func workflowFile(sys *system, repo string) string {
	name, _, _ := strings.Cut(sys.getenv("GITHUB_WORKFLOW_REF"), "@")
	if file, ok := strings.CutPrefix(name, repo+"/.github/workflows/"); ok && !strings.Contains(file, "/") {
		return file
	}
	return ""
}

func (o *remoteOptions) download(ctx context.Context, sys *system) (*timing.History, error) {
	client, err := o.connect(ctx, sys, artifact.RunRef{})
	if err != nil {
		return nil, err
	}
	run, found, err := client.History(ctx, workflowFile(sys, client.Repository()))
	if err != nil {
		return nil, err
	}
	r := &remote{sys: sys, client: client, run: run, artifacts: found}
	if found[0].Kind == artifact.Results {
		results, err := r.results(ctx, "")
		sys.say("history from the results of run %d", run.ID)
		if err != nil {
			return timing.FromResults(results...), err
		}
		history := timing.FromResults(results...)
		history.Merge(r.overheads(ctx, results))
		return history, nil
	}
	text, name, err := openFile(ctx, client, found[0], defaultTimings)
	if err != nil {
		return nil, err
	}
	defer text.Close()
	sys.say("history %s of run %d", found[0].Name, run.ID)
	history, err := timing.ReadHistory(text, name)
	if err != nil {
		return history, advise(err, hintArtifact)
	}
	r.addOverheads(ctx, history)
	return history, nil
}
