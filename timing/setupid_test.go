package timing

import (
	"testing"

	"pgregory.net/rapid"
)

func TestSetupID(t *testing.T) {
	for _, c := range []struct {
		id                    SetupID
		scope                 Scope
		place                 NodeID
		name, parameters      string
		library               string
		ofFile, ofFiles, pool bool
	}{
		{id: "tests/test_a.py"},
		{id: "tests/"},
		{id: "session tests/test_a.py"}, // a file of a folder that is called so
		{id: "processes x/test_a.py"},
		{id: "import numpy.linalg", library: "numpy.linalg"},
		{id: "processes tests/test_a.py::test_x[::]", pool: true},
		{id: "session ::server", scope: SessionScope, name: "server", ofFiles: true},
		{id: "session ::server[pg]", scope: SessionScope, name: "server", parameters: "[pg]", ofFiles: true},
		{id: "session tests/test_a.py::server", scope: SessionScope, place: "tests/test_a.py", name: "server", ofFiles: true},
		{id: "package tests/my db::schema[x=1,y[0]]", scope: PackageScope, place: "tests/my db", name: "schema", parameters: "[x=1,y[0]]", ofFiles: true},
		{id: "module tests/[old]/test_a.py::model[2]", scope: ModuleScope, place: "tests/[old]/test_a.py", name: "model", parameters: "[2]", ofFile: true},
		{id: "class tests/test_a.py::TestA::TestB::fit", scope: ClassScope, place: "tests/test_a.py::TestA::TestB", name: "fit", ofFile: true},
		{id: "function tests/test_a.py::f"},
		{id: ""},
	} {
		place, name, parameters := c.id.Parts()
		if place != c.place || name != c.name || parameters != c.parameters {
			t.Errorf("%q: Parts() = %q, %q, %q, want %q, %q, %q", c.id, place, name, parameters, c.place, c.name, c.parameters)
		}
		if got := c.id.Scope(); got != c.scope {
			t.Errorf("%q: Scope() = %q, want %q", c.id, got, c.scope)
		}
		if got, ok := c.id.Library(); ok != (c.library != "") || ok && got != c.library {
			t.Errorf("%q: Library() = %q, %v, want %q", c.id, got, ok, c.library)
		}
		if got, want := c.id.Import(), c.scope == "" && c.library == "" && !c.pool; c.id.Pool() != c.pool || got != want {
			t.Errorf("%q: Pool() = %v, Import() = %v, want %v, %v", c.id, c.id.Pool(), got, c.pool, want)
		}
		if c.id.OfFile() != c.ofFile || c.id.OfFiles() != c.ofFiles {
			t.Errorf("%q: of a file %v, of files %v, want %v, %v", c.id, c.id.OfFile(), c.id.OfFiles(), c.ofFile, c.ofFiles)
		}
	}
	if got, want := SetupID("class old/a.py::C::f[1]").In("new/b.py"), SetupID("class new/b.py::C::f[1]"); got != want {
		t.Errorf("In() = %q, want %q", got, want)
	}
}

// Whatever an ID is, its parts make it up, and so do those of a use.
func TestSetupIDParts(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		id := SetupID(rapid.OneOf(rapid.String(), rapid.StringMatching(`(session|package|module|class|import|processes) [a-c/\[\]:. ]{0,12}(::[a-c]{1,3}){0,2}(\[[a-c:\[\]]{0,4}\])?`)).Draw(t, "id"))
		if scope := id.Scope(); scope != "" {
			place, name, parameters := id.Parts()
			if whole := SetupID(scope) + " " + SetupID(place) + "::" + SetupID(name+parameters); whole != id {
				t.Fatalf("the parts of %q make %q", id, whole)
			}
			if id.OfFile() && id.In(place.File()) != id {
				t.Fatalf("%q in its own file is %q", id, id.In(place.File()))
			}
		}
		user := NodeID("tests/a.py")
		if id.Pool() {
			user += "::TestA::test[x::y]"
		}
		if by, of, ok := useIn(useOf(user, id)); !ok || by != user || of != id {
			t.Fatalf("the use of %q by %q is of %q by %q, %v", id, user, of, by, ok)
		}
	})
}
