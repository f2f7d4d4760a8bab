package artifact

import (
	"cmp"
	"net/url"
	"regexp"
	"strconv"
	"strings"
)

// DefaultAPI is the address of GitHub's own API.
const DefaultAPI = "https://api.github.com/"

// RunRef is what a user calls a run by.
type RunRef struct {
	Host       string // of the URL; "" for a bare number
	Repository string // owner/name; "" for a bare number
	ID         int64
	Attempt    int   // 0 is not said
	Job        int64 // 0 is none
}

var runPath = regexp.MustCompile(`^/([^/]+/[^/]+)/actions/runs/([0-9]+)(?:/attempts/([0-9]+))?(?:/job/([0-9]+))?(?:/|$)`)

// ParseRun reads the number of a run, or the URL of a run, of one of its
// attempts or of one of its jobs, as it stands in a browser's address bar.
func ParseRun(text string) (RunRef, error) {
	const hint = "pass the number in the run's URL, or the URL of the run or of a job: https://github.com/OWNER/NAME/actions/runs/NUMBER"
	ref, digits := RunRef{}, text
	if strings.Contains(text, "/") {
		u, err := url.Parse(text)
		if err != nil {
			return RunRef{}, faultf(Misused, hint, "reading the run's URL: %w", err)
		}
		m := runPath.FindStringSubmatch(u.Path)
		if m == nil || u.Host == "" {
			return RunRef{}, faultf(Misused, hint, "%.200q is not the URL of a run", text)
		}
		ref.Host, ref.Repository, digits = u.Host, m[1], m[2]
		if m[3] != "" {
			if ref.Attempt, err = strconv.Atoi(m[3]); err != nil || ref.Attempt < 1 {
				return RunRef{}, faultf(Misused, hint, "%.200q names attempt %s, want a number from 1", text, m[3])
			}
		}
		if m[4] != "" {
			if ref.Job, err = strconv.ParseInt(m[4], 10, 64); err != nil || ref.Job < 1 {
				return RunRef{}, faultf(Misused, hint, "%.200q names job %s, want a number from 1", text, m[4])
			}
		}
	}
	id, err := strconv.ParseInt(digits, 10, 64)
	if err != nil || id < 1 {
		return RunRef{}, faultf(Misused, hint, "%.200q is not the number of a run", text)
	}
	ref.ID = id
	return ref, nil
}

var (
	scpRemote  = regexp.MustCompile(`^(?:[^@/]+@)?([^:/]+):(?:/)?([^/]+/[^/]+)$`)
	repository = regexp.MustCompile(`^[A-Za-z0-9_-][A-Za-z0-9_.-]*/[A-Za-z0-9_.-]+$`)
)

// ParseRemote reads the host and the owner/name out of the URL of a git
// remote: git@github.com:o/r.git, ssh://git@host/o/r or https://host/o/r.git.
func ParseRemote(remote string) (host, name string, ok bool) {
	remote = strings.TrimSuffix(strings.TrimSuffix(strings.TrimSpace(remote), "/"), ".git")
	if strings.Contains(remote, "://") {
		u, err := url.Parse(remote)
		if err != nil {
			return "", "", false
		}
		host, name = u.Host, strings.TrimPrefix(u.Path, "/")
		if u.Scheme == "ssh" {
			host = u.Hostname()
		}
	} else if m := scpRemote.FindStringSubmatch(remote); m != nil {
		host, name = m[1], m[2]
	}
	return host, name, host != "" && validRepository(name)
}

func validRepository(name string) bool {
	return repository.MatchString(name) && !strings.HasSuffix(name, "/.") && !strings.HasSuffix(name, "/..")
}

// ServesHost reports whether the API at an address is that of the host whose
// pages a URL names: api.github.com for github.com, HOST/api/v3 or api.HOST
// for an own server. A token must not go to a host only because a pasted URL
// names it.
func ServesHost(api, host string) bool {
	u, err := url.Parse(cmp.Or(api, DefaultAPI))
	if err != nil {
		return false
	}
	return strings.EqualFold(u.Host, host) || strings.EqualFold(u.Host, "api."+host)
}
