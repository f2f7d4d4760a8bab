package timing

import "strings"

// NodeID names one collected test exactly as pytest spells it, without the
// "@group" suffix that xdist adds under --dist loadgroup: a path relative to
// the root directory, then "::", then an opaque rest that may hold "::",
// brackets, spaces or anything else. Two tests may share one node ID.
type NodeID string

// withoutGroup returns a node ID as another tool has stored it, without the suffix
// of xdist: what follows the last "@" behind the parameters (as xdist's own
// LoadGroupScheduling._split_scope has it). No function's name holds one.
func withoutGroup(text string) NodeID {
	if at := strings.LastIndexByte(text, '@'); at > strings.LastIndexByte(text, ']') && at > strings.LastIndex(text, "::") {
		return NodeID(text[:at])
	}
	return NodeID(text)
}

// File returns the path before the first "::", or the whole ID where there is
// none.
func (id NodeID) File() string {
	file, _, _ := strings.Cut(string(id), "::")
	return file
}

// Rest returns what follows File, with its leading "::": id is always
// id.File() + id.Rest().
func (id NodeID) Rest() string {
	return string(id)[len(id.File()):]
}

// Function returns the ID without its parameters: cut at the first "[" after
// the file. Tests with the same Function differ only in parameters.
func (id NodeID) Function() string {
	file := len(id.File())
	if i := strings.IndexByte(string(id)[file:], '['); i >= 0 {
		return string(id)[:file+i]
	}
	return string(id)
}

// Class returns Function without its last "::" part: the class, for a method,
// and File for a plain function.
func (id NodeID) Class() string {
	function := id.Function()
	if i := strings.LastIndex(function, "::"); i >= 0 {
		return function[:i]
	}
	return function
}
