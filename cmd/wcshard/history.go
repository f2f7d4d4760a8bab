package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"runtime/debug"
	"slices"
	"strings"
	"sync"

	"github.com/wcshard/wcshard/shard/pytest"
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
			sys.warn("the history in %s is left out: %v", historySources{name}, err)
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

// readAside begins to read the history, and returns what waits for it: a history on
// GitHub takes seconds, and one of many tests as long as pytest's list of them. What
// there is to say of it is said by then, after what the collection has to say.
func (all historySources) readAside(ctx context.Context, sys *system, remote *remoteOptions, given bool) func() (*timing.History, historySources, error) {
	if slices.ContainsFunc(all, func(name string) bool { return strings.TrimPrefix(name, fromCache) == "-" }) { // after the list of tests, which may come that way, too
		return func() (*timing.History, historySources, error) { return all.read(ctx, sys, remote, given) }
	}
	var history *timing.History
	var source historySources
	var err error
	var cause string // of a panic
	said := &lateWriter{}
	aside, done := *sys, make(chan struct{})
	aside.stderr = said
	go func() {
		defer close(done)
		defer func() {
			if r := recover(); r != nil {
				cause = fmt.Sprintf("%v\n%s", r, debug.Stack())
			}
		}()
		history, source, err = all.read(ctx, &aside, remote, given)
	}()
	return func() (*timing.History, historySources, error) {
		said.to(sys.stderr)
		<-done
		if cause != "" {
			panic(cause) // where the command reports it
		}
		return history, source, err
	}
}

// A lateWriter keeps what is written until it is told where to.
type lateWriter struct {
	mutex sync.Mutex
	kept  bytes.Buffer
	out   io.Writer
}

func (w *lateWriter) Write(text []byte) (int, error) {
	w.mutex.Lock()
	defer w.mutex.Unlock()
	if w.out == nil {
		return w.kept.Write(text)
	}
	return w.out.Write(text)
}

func (w *lateWriter) to(out io.Writer) {
	w.mutex.Lock()
	defer w.mutex.Unlock()
	w.out = out
	_, _ = w.kept.WriteTo(out) // as say does
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
	switch {
	case errors.As(err, &syntax) && conflicted(sys, name):
		hint = fmt.Sprintf("git has left a merge conflict in it: take either side (git checkout --theirs %s), and the next runs teach the rest", pytest.JoinWords(name))
	case syntax != nil && syntax.Line == 1:
		hint += fmt.Sprintf("; if another tool wrote it, bring it in with wcshard merge --import pytest-split:%s (or junit:, reportlog:)", name)
	}
	return history, advise(err, hint)
}

// conflicted reports whether git has left a merge conflict in a file.
func conflicted(sys *system, name string) bool {
	file, err := sys.open(name)
	if err != nil {
		return false
	}
	defer file.Close()
	text, err := io.ReadAll(io.LimitReader(file, 64<<20))
	return err == nil && (bytes.HasPrefix(text, []byte("<<<<<<< ")) || bytes.Contains(text, []byte("\n<<<<<<< ")))
}

// historyFile is the file that a --timings names where it has to be one: merge writes
// it, and run reads what merge wrote. WCSHARD_TIMINGS is there for matrix, too, which
// takes more.
func historyFile(name string) (string, error) {
	const hint = "pass --timings FILE, the history that wcshard merge writes"
	file := strings.TrimPrefix(name, fromCache)
	switch {
	case file == "" || file == "-":
		return "", usagef(hint, "--timings is %q, want a file", name)
	case name == fromGitHub:
		return "", usagef(hint+"; ./github is a file of that name", "--timings github is for wcshard matrix and advise, which write no history")
	case strings.ContainsAny(name, "\n\r"):
		return "", usagef(hint, "--timings is %q, want one file", name)
	}
	return file, nil
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
