package artifact

import "fmt"

// Fault is the sort of thing that went wrong.
type Fault int

// The faults.
const (
	Unreachable Fault = iota // the network, or a server that answers nonsense
	Denied                   // the token is missing, refused, or lacks a permission
	Missing                  // there is no such run or artifact, or the token may not see it
	Expired                  // GitHub has deleted the artifact
	Limited                  // the rate limit is used up for longer than we wait
	Damaged                  // the artifact is no whole zip file
	TooLarge                 // the artifact is larger than any of ours
	Unsafe                   // a path in the zip file leads out of its folder
	Foreign                  // the artifact was made by a fork's run
	Ambiguous                // several artifacts have one name
	Misused                  // what the caller passed is wrong
)

// Error is a fault with what the user can do about it.
type Error struct {
	Fault Fault
	Hint  string // "" where there is nothing to do
	Err   error
}

// Error returns the cause's text.
func (e *Error) Error() string { return e.Err.Error() }

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

func faultf(fault Fault, hint, format string, args ...any) *Error {
	return &Error{Fault: fault, Hint: hint, Err: fmt.Errorf(format, args...)}
}
