package artifact

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// transport adds the token for the API's own host, waits for the rate limit,
// and turns refusals into errors that say what to do.
type transport struct {
	options *Options
	host    string
	next    http.RoundTripper
}

// RoundTrip sends one request without a body, again after a short wait.
func (t *transport) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.Header.Del("Authorization")
	if t.options.Token != "" && r.URL.Host == t.host {
		r.Header.Set("Authorization", "Bearer "+t.options.Token)
	}
	for left := t.options.MaxWait; ; {
		resp, err := t.next.RoundTrip(r)
		if err != nil {
			return nil, err
		}
		if resp.StatusCode < 400 {
			// go-github would refuse the next request by itself when none is left, without
			// the wait and without the words: whether one is, GitHub says.
			for _, name := range []string{"X-RateLimit-Limit", "X-RateLimit-Remaining", "X-RateLimit-Reset"} {
				resp.Header.Del(name)
			}
			return resp, nil
		}
		message := apiMessage(resp)
		wait, limited := t.limit(resp, message)
		if !limited {
			return nil, t.refusal(resp, message)
		}
		if wait > left {
			when := t.options.Now().Add(wait)
			return nil, faultf(Limited, t.limitHint(), "GitHub's rate limit is used up until %s (for %s)",
				when.UTC().Format("15:04:05 UTC"), wait.Round(time.Second))
		}
		left -= wait
		t.options.Say(fmt.Sprintf("waiting %s for GitHub's rate limit", wait.Round(time.Second)))
		if err := t.options.Sleep(r.Context(), wait); err != nil {
			return nil, err
		}
	}
}

// limit reports whether a refusal is one of the rate limits, and how long to
// wait: at least a second, so that waits come to an end.
func (t *transport) limit(resp *http.Response, message string) (wait time.Duration, limited bool) {
	if resp.StatusCode != http.StatusForbidden && resp.StatusCode != http.StatusTooManyRequests {
		return 0, false
	}
	if s, err := strconv.Atoi(resp.Header.Get("Retry-After")); err == nil && s >= 0 {
		return max(time.Second, time.Duration(min(s, 1<<30))*time.Second), true
	}
	if resp.Header.Get("X-RateLimit-Remaining") == "0" {
		if reset, err := strconv.ParseInt(resp.Header.Get("X-RateLimit-Reset"), 10, 64); err == nil {
			return max(time.Second, time.Unix(reset, 0).Sub(t.options.Now())+time.Second), true
		}
	}
	if resp.StatusCode == http.StatusTooManyRequests || strings.Contains(message, "secondary rate limit") {
		return time.Minute, true // what GitHub's guide says to wait at least
	}
	return 0, false
}

func (t *transport) limitHint() string {
	if t.options.Token == "" {
		return "pass a token in GITHUB_TOKEN: without one there are 60 requests an hour"
	}
	return "try again then"
}

// refusal says which permission is missing, as GitHub does not.
func (t *transport) refusal(resp *http.Response, message string) error {
	said := fmt.Sprintf("GitHub answered %d", resp.StatusCode)
	if message != "" {
		said += fmt.Sprintf(" (%.200q)", message)
	}
	const scopes = "in a workflow give the job permissions: actions: read; a fine-grained token needs Actions: read for this repository, a classic one the scope repo (public_repo for a public repository)"
	switch resp.StatusCode {
	case http.StatusUnauthorized:
		if t.options.Token == "" {
			return faultf(Denied, "pass a token in GITHUB_TOKEN or GH_TOKEN, or log in with gh auth login", "%s: there is no token", said)
		}
		return faultf(Denied, "pass one that is valid in GITHUB_TOKEN or GH_TOKEN, or log in with gh auth login", "%s: the token is not accepted", said)
	case http.StatusForbidden:
		if sso := resp.Header.Get("X-GitHub-SSO"); sso != "" {
			_, url, _ := strings.Cut(sso, "url=")
			return faultf(Denied, "open "+cmp.Or(url, "the token's settings page")+" and allow the token", "%s: the organisation wants the token authorised for single sign-on", said)
		}
		return faultf(Denied, scopes, "%s: the token lacks the permission actions: read", said)
	case http.StatusNotFound:
		return faultf(Missing, "check the number and --repo; if they are right, "+scopes, "%s: it does not exist, or the token may not see it", said)
	case http.StatusGone:
		return faultf(Expired, "run the workflow again: artifacts are kept for as long as the repository's retention says", "%s: the artifact has expired", said)
	}
	return faultf(Unreachable, "", "%s", said)
}

// apiMessage reads the message of a refusal, and closes it.
func apiMessage(resp *http.Response) string {
	defer resp.Body.Close()
	body, _ := io.ReadAll(io.LimitReader(resp.Body, 64<<10))
	var said struct {
		Message string `json:"message"`
	}
	if json.Unmarshal(body, &said) != nil {
		return ""
	}
	return said.Message
}
