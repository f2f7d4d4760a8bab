package timing

import "strings"

// A SetupID names what tests share, as histories, results and plans spell it: a file by
// its path (its import), a folder by its path with a slash at the end (its conftest.py), a
// library after libraryPrefix, a pool of processes by the test that started it, and one
// instance of a fixture of a scope above function as "scope place::name[parameters]",
// where the place is the node ID of the module or class that sets it up, and else where
// the fixture is defined:
//
//	tests/test_a.py
//	tests/
//	import numpy.linalg
//	processes tests/test_a.py::test_parallel
//	session ::server[pg]
//	class tests/test_a.py::TestModel::fitted
type SetupID string

// A Scope is that of a fixture, as pytest calls it.
type Scope string

// The scopes above function.
const (
	SessionScope Scope = "session"
	PackageScope Scope = "package"
	ModuleScope  Scope = "module"
	ClassScope   Scope = "class"
)

// libraryPrefix goes before the names of libraries where they stand beside files
// or fixtures: "import scipy.stats".
const libraryPrefix = "import "

// poolPrefix goes before the ID of the test that started a pool of processes.
const poolPrefix = "processes "

// LibraryID returns the ID of a library's import.
func LibraryID(name string) SetupID {
	return SetupID(libraryPrefix + name)
}

// Scope returns the scope of a fixture's instance, "" for everything else.
func (id SetupID) Scope() Scope {
	before, rest, _ := strings.Cut(string(id), " ")
	if !strings.Contains(rest, "::") { // a file of a folder that is called so
		return ""
	}
	switch scope := Scope(before); scope {
	case SessionScope, PackageScope, ModuleScope, ClassScope:
		return scope
	}
	return ""
}

// OfFile reports whether it is an instance of a fixture that tests of one file need,
// of a module or a class.
func (id SetupID) OfFile() bool {
	scope := id.Scope()
	return scope == ModuleScope || scope == ClassScope
}

// OfFiles reports whether it is an instance of a fixture that tests of several files
// may need, of a package or the session.
func (id SetupID) OfFiles() bool {
	scope := id.Scope()
	return scope == PackageScope || scope == SessionScope
}

// Library returns the name of a library, and whether it is one.
func (id SetupID) Library() (name string, ok bool) {
	return strings.CutPrefix(string(id), libraryPrefix)
}

// Pool reports whether it is a pool of processes.
func (id SetupID) Pool() bool {
	return strings.HasPrefix(string(id), poolPrefix) && strings.Contains(string(id), "::")
}

// starter returns the test that has started a pool of processes.
func (id SetupID) starter() NodeID {
	return NodeID(strings.TrimPrefix(string(id), poolPrefix))
}

// Folder reports whether it is the import of a folder's conftest.py.
func (id SetupID) Folder() bool {
	return id.Import() && strings.HasSuffix(string(id), "/")
}

// Import reports whether it is the import of a file, or of a folder's conftest.py.
func (id SetupID) Import() bool {
	_, library := id.Library()
	return !library && !id.Pool() && id.Scope() == ""
}

// Parts divides the ID of a fixture's instance: the file or folder and the classes in it,
// the name of the fixture, and its parameters with their brackets, "" where it has none.
// All are "" for everything else.
func (id SetupID) Parts() (place NodeID, name, parameters string) {
	scope := id.Scope()
	if scope == "" {
		return "", "", ""
	}
	rest := NodeID(id[len(scope)+1:])
	function := rest.Function() // as of a test: parameters may hold anything
	at := strings.LastIndex(function, "::")
	return NodeID(function[:at]), function[at+2:], string(rest)[len(function):]
}

// In returns the ID with another file: of a fixture of a module or class of one that
// was renamed.
func (id SetupID) In(file string) SetupID {
	scope := id.Scope()
	place, _, _ := id.Parts()
	return SetupID(scope) + " " + SetupID(file) + id[len(scope)+1+len(place.File()):]
}

// A use is one of a fixture of a package or the session that tests of a file have asked
// for while they ran, of a library that they have imported then, or of a pool of
// processes by one test. It is kept among fixtures, after usePrefix: to earlier versions
// a history with a kind of its own would be an error.
const usePrefix = "use "

// useOf returns the name of a use by a test, or by any test of a file.
func useOf(user NodeID, id SetupID) string {
	return usePrefix + string(user) + "::" + string(id)
}

// useIn returns what a series of the history is the use of, and by whom; and whether it
// is one.
func useIn(series string) (user NodeID, id SetupID, ok bool) {
	rest, ok := strings.CutPrefix(series, usePrefix)
	if test, starter, of := strings.Cut(rest, "::"+poolPrefix); of {
		return NodeID(test), SetupID(poolPrefix + starter), ok
	}
	file, of, _ := strings.Cut(rest, "::")
	return NodeID(file), SetupID(of), ok
}
