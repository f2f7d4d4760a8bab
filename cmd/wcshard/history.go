package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/wcshard/wcshard/timing"
)

// fromCache marks a --timings that a CI's cache restored, or did not: that it
// is not there is no surprise.
const fromCache = "cache:"

// historySources are the values of --timings: the first one with samples counts.
type historySources []string

// String names the history that a plan rests on.
func (all historySources) String() string {
	var names []string
	for _, name := range all {
		if strings.HasPrefix(name, fromCache) {
			name = "the cache"
		}
		names = append(names, name)
	}
	if n := len(names); n > 1 {
		return strings.Join(names[:n-1], ", ") + " or " + names[n-1]
	}
	return strings.Join(names, "")
}

// read returns the first history that has samples, and where it is from; an
// empty one where none has. With several to choose from, one that cannot be
// read is a warning: a plan is also made without.
func (all historySources) read(ctx context.Context, sys *system, remote *remoteOptions, given bool) (*timing.History, historySources, error) {
	for _, name := range all {
		history, err := readSource(ctx, sys, name, remote, given && len(all) == 1)
		if err != nil && (len(all) == 1 || ctx.Err() != nil) {
			return nil, nil, err
		}
		if err != nil {
			sys.warn("the history %s is left out: %v", historySources{name}, err)
			for _, hint := range hints(err) {
				sys.say("hint: %s", hint)
			}
			continue
		}
		if history.Len() > 0 {
			return history, historySources{name}, nil
		}
	}
	return new(timing.History), all, nil
}

func readSource(ctx context.Context, sys *system, name string, remote *remoteOptions, given bool) (*timing.History, error) {
	if name == fromGitHub {
		return remote.history(ctx, sys)
	}
	file, cached := strings.CutPrefix(name, fromCache)
	return readHistory(sys, file, given && !cached)
}

// readHistory reads the history; where there is none, it is empty.
func readHistory(sys *system, name string, given bool) (*timing.History, error) {
	file, err := sys.open(name)
	if absent(err) {
		if given {
			sys.warn("there is no history %s yet", name)
		}
		return new(timing.History), nil
	}
	if err != nil {
		return nil, err
	}
	defer file.Close()
	history, err := timing.ReadHistory(file, name)
	hint := "take an older copy, or remove it: wcshard merge begins a new one"
	var syntax *timing.SyntaxError
	if errors.As(err, &syntax) && syntax.Line == 1 {
		hint += fmt.Sprintf("; if another tool wrote it, bring it in with wcshard merge --import pytest-split:%s (or junit:, reportlog:)", name)
	}
	return history, advise(err, hint)
}

// saveHistory writes the history that a plan rests on, so that the job that learns
// from the run learns on top of it; nothing where there is none.
func saveHistory(name string, history *timing.History) error {
	if name == "" || history.Len() == 0 {
		return nil
	}
	if err := writeFile(name, history.Write); err != nil {
		return fmt.Errorf("writing the history: %w", err)
	}
	return nil
}
