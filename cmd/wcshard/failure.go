package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"github.com/wcshard/wcshard/shard"
	"github.com/wcshard/wcshard/shard/pytest"
	"github.com/wcshard/wcshard/timing"
	"github.com/wcshard/wcshard/timing/artifact"
)

// The exit statuses. pytest's own (1 tests failed, 2 interrupted or a
// collection error, 3 internal error, 4 usage, 5 no tests) are passed through;
// ours follow sysexits.h and start at 64.
const (
	exitOK          = 0
	exitTestsFailed = 1
	exitInterrupted = 2
	exitNoTests     = 5
	exitUsage       = 64 // the command line
	exitData        = 65 // bad input
	exitNoInput     = 66 // an input file is missing
	exitUnavailable = 69 // something needed is not there: pytest, Python, a network
	exitSoftware    = 70 // our own bug
	exitIO          = 74
	exitIncomplete  = 75 // tests lost or doubled, a shard missing
)

// failure is an error with the status to exit with and the next step for the
// user. A failure without err has already been explained.
type failure struct {
	err    error
	status int
	hint   string
}

func (f *failure) Error() string {
	if f.err == nil {
		return fmt.Sprintf("exit status %d", f.status)
	}
	return f.err.Error()
}

func (f *failure) Unwrap() error { return f.err }

// usagef is a failure of the command line.
func usagef(hint, format string, args ...any) error {
	return &failure{status: exitUsage, hint: hint, err: fmt.Errorf(format, args...)}
}

// exitStatus finds the status for an error: the outermost failure that names
// one, else by the kind of cause.
func exitStatus(err error) int {
	if err == nil {
		return exitOK
	}
	for _, cause := range causes(err) {
		if f, ok := cause.(*failure); ok && f.status != 0 {
			return f.status
		}
	}
	var rows *shard.TooManyRowsError
	var large *shard.TooLargeError
	var syntax *timing.SyntaxError
	var died *pytest.ExitError
	var path *fs.PathError
	var remote *artifact.Error
	var link *os.LinkError
	var call *os.SyscallError
	switch {
	case errors.Is(err, pytest.ErrNoPytest):
		return exitUnavailable
	case errors.As(err, &rows), errors.As(err, &large):
		return exitUsage
	case errors.As(err, &remote):
		return remoteStatus(remote.Fault)
	case errors.As(err, &syntax):
		return exitData
	case errors.As(err, &died) && died.Status != exitOK:
		return died.Status
	case errors.Is(err, fs.ErrNotExist):
		return exitNoInput
	case errors.As(err, &path), errors.As(err, &link), errors.As(err, &call):
		return exitIO
	}
	return exitUnavailable
}

// remoteStatus is the status for what went wrong with an earlier run.
func remoteStatus(fault artifact.Fault) int {
	switch fault {
	case artifact.Misused:
		return exitUsage
	case artifact.Missing, artifact.Expired:
		return exitNoInput
	case artifact.Damaged, artifact.TooLarge, artifact.Unsafe, artifact.Foreign, artifact.Ambiguous:
		return exitData
	}
	return exitUnavailable
}

// report prints an error with its hints and returns the exit status.
func (sys *system) report(err error) int {
	status := exitStatus(err)
	var f *failure
	if errors.As(err, &f) && f.err == nil {
		return status
	}
	// An error may have several lines, and names in them that a CI log takes for
	// a command at the start of one.
	for i, line := range strings.Split(strings.TrimRight(err.Error(), "\n"), "\n") {
		if i == 0 {
			line = "error: " + line
		}
		sys.say("%s", line)
	}
	for _, hint := range hints(err) {
		sys.say("hint: %s", hint)
	}
	return status
}
