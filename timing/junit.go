package timing

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"
)

// maxDepth bounds the nesting of XML elements; pytest's files have 4 levels.
const maxDepth = 32

// ImportJUnit reads the XML that pytest writes with --junit-xml, of either
// family. It knows a test only by a class name and a name that pytest made
// from the node ID, so these are looked up among the known tests, mangled the
// same way. Where the "file" attribute is there (junit_family=xunit1), it
// decides between tests that look alike, and the node ID of an unknown test
// can be put together again.
func ImportJUnit(r io.Reader, name string, known []NodeID) (*History, ImportReport, error) {
	return importFile("JUnit XML", r, name, func(file []byte, m *imported) (int, error) {
		x := junitReader{d: xml.NewDecoder(bytes.NewReader(file)), imported: m, known: mangledIDs(known)}
		err := x.read()
		line, _ := x.d.InputPos()
		return line, err
	})
}

// junitReader reads one file. The zero depth is outside the root element.
type junitReader struct {
	d *xml.Decoder
	*imported
	known map[caseKey][]NodeID // by junitCase.key
	depth int
	rooted,
	inCase bool
	now  junitCase // being read
	last junitCase // read but not added: its teardown may follow as a second element
}

// junitCase is one <testcase> element.
type junitCase struct {
	class, name, file string
	us                int64
	failed, errored   bool
	skipped, xfailed  bool
}

// caseKey is all that both families have of a test.
type caseKey struct{ class, name string }

func (c *junitCase) key() caseKey { return caseKey{c.class, c.name} }

func (x *junitReader) read() error {
	for {
		token, err := x.d.Token()
		if err == io.EOF {
			break
		}
		if err != nil {
			var syntax *xml.SyntaxError
			if errors.As(err, &syntax) {
				return errors.New(syntax.Msg) // the line stands elsewhere
			}
			return err
		}
		switch t := token.(type) {
		case xml.Directive:
			// No pytest writes one, and entities are the way to a small file
			// that grows without bound.
			return errors.New("a document type declaration, want pytest's JUnit XML")
		case xml.StartElement:
			err = x.start(t)
		case xml.EndElement:
			x.end(t)
		}
		if err != nil {
			return err
		}
	}
	if !x.rooted {
		return errors.New("no element, want <testsuites> or <testsuite>")
	}
	x.flush()
	return nil
}

func (x *junitReader) start(e xml.StartElement) error {
	element := e.Name.Local
	switch {
	case x.depth == 0 && (x.rooted || element != "testsuites" && element != "testsuite"):
		return fmt.Errorf("element <%s>, want one <testsuites> or <testsuite>", element)
	case x.depth == maxDepth:
		return fmt.Errorf("elements nested more than %d deep", maxDepth)
	}
	x.rooted = true
	x.depth++
	switch {
	case element == "testsuite":
		return x.suite(e)
	case element == "testcase" && !x.inCase:
		x.inCase = true
		return x.testcase(e)
	case !x.inCase:
	case element == "failure":
		x.now.failed = true
	case element == "error":
		x.now.errored = true
	case element == "skipped":
		x.now.skipped = true
		x.now.xfailed = attribute(e, "type") == "pytest.xfail"
	}
	return nil
}

func attribute(e xml.StartElement, name string) string {
	for _, a := range e.Attr {
		if a.Name.Local == name {
			return a.Value
		}
	}
	return ""
}

// suite takes the newest time of the suites: with a zone since pytest 8, in
// local time without one before, which is taken for UTC.
func (x *junitReader) suite(e xml.StartElement) error {
	stamp := attribute(e, "timestamp")
	if stamp == "" {
		return nil
	}
	t, err := time.Parse(time.RFC3339, stamp)
	if err != nil {
		t, err = time.Parse("2006-01-02T15:04:05", stamp)
	}
	if err != nil {
		return fmt.Errorf("bad timestamp %q", stamp)
	}
	x.started = max(x.started, t.UnixMilli())
	return nil
}

func (x *junitReader) testcase(e xml.StartElement) error {
	x.now = junitCase{class: attribute(e, "classname"), name: attribute(e, "name"), file: attribute(e, "file")}
	duration := attribute(e, "time")
	s, err := strconv.ParseFloat(duration, 64)
	if err == nil {
		x.now.us, err = seconds(s)
	}
	if err != nil {
		return fmt.Errorf("test %q has a time of %q", x.now.name, duration)
	}
	return nil
}

func (x *junitReader) end(e xml.EndElement) {
	x.depth--
	if e.Name.Local != "testcase" || !x.inCase {
		return
	}
	x.inCase = false
	// A test that fails in its call and again in its teardown has two
	// elements, one after the other.
	if l, c := &x.last, &x.now; l.failed && c.errored && !c.failed && l.key() == c.key() {
		l.us += c.us
		return
	}
	x.flush()
	x.last = x.now
}

// flush adds the last test.
func (x *junitReader) flush() {
	c := x.last
	x.last = junitCase{}
	if c == (junitCase{}) {
		return
	}
	ids := x.known[c.key()]
	if bare := string(withoutGroup(c.name)); len(ids) == 0 && bare != c.name {
		ids = x.known[caseKey{c.class, bare}]
	}
	if len(ids) > 1 && c.file != "" {
		if same := inFile(ids, c.file); len(same) > 0 {
			ids = same
		}
	}
	if id, ok := c.rebuild(); ok && len(ids) == 0 {
		ids = []NodeID{withoutGroup(string(id))}
	}
	switch shown := c.class + "::" + c.name; len(ids) {
	case 0:
		x.report.Unmapped = append(x.report.Unmapped, shown)
	case 1:
		x.add(ids[0], sample{call: c.us, outcome: int8(slices.Index(outcomes, c.outcome()))})
	default:
		x.report.Ambiguous = append(x.report.Ambiguous, shown)
	}
}

func (c *junitCase) outcome() Outcome {
	switch {
	case c.failed:
		return Failed
	case c.errored:
		return Error
	case c.xfailed:
		return XFailed
	case c.skipped:
		return Skipped
	}
	return Passed
}

func inFile(ids []NodeID, file string) []NodeID {
	var same []NodeID
	for _, id := range ids {
		if id.File() == file {
			same = append(same, id)
		}
	}
	return same
}

// rebuild puts a node ID together from the attributes of the xunit1 family.
// That the file fits the class name shows that the test is defined where it
// was collected, not inherited from another file.
func (c *junitCase) rebuild() (NodeID, bool) {
	if c.file == "" || c.name == "" {
		return "", false
	}
	classes, ok := strings.CutPrefix(c.class, dotted(c.file))
	switch {
	case !ok || classes != "" && classes[0] != '.':
		return "", false
	default:
		return NodeID(c.file + strings.ReplaceAll(classes, ".", "::") + "::" + c.name), true
	}
}

// mangledIDs finds node IDs by what pytest's JUnit XML makes of them.
func mangledIDs(known []NodeID) map[caseKey][]NodeID {
	ids := make(map[caseKey][]NodeID, len(known))
	add := func(c junitCase, id NodeID) {
		key := c.key()
		if !slices.Contains(ids[key], id) {
			ids[key] = append(ids[key], id)
		}
	}
	for _, id := range known {
		// Up to version 9.1 pytest took the first bracket of all for that of
		// the parameters, even in a folder's name.
		cut := len(id.Function())
		add(mangle(id, cut), id)
		if i := strings.IndexByte(string(id), '['); i >= 0 && i != cut {
			add(mangle(id, i), id)
		}
	}
	return ids
}

// mangle does what mangle_test_address and bin_xml_escape in pytest's
// junitxml.py do to a node ID whose parameters begin at index cut.
func mangle(id NodeID, cut int) junitCase {
	names := strings.Split(string(id)[:cut], "::")
	names[0] = dotted(names[0])
	last := len(names) - 1
	return junitCase{class: strings.Join(names[:last], "."), name: escapeXML(names[last] + string(id)[cut:])}
}

// dotted returns a file's path as JUnit XML has it in class names.
func dotted(file string) string {
	return strings.TrimSuffix(strings.ReplaceAll(file, "/", "."), ".py")
}

// escapeXML writes characters that XML cannot hold as #x07.
func escapeXML(s string) string {
	legal := func(r rune) bool {
		return r == '\t' || r == '\n' || r == '\r' || ' ' <= r && r <= '~' || 0x80 <= r && r <= 0xD7FF ||
			0xE000 <= r && r <= 0xFFFD || r >= 0x10000
	}
	if strings.IndexFunc(s, func(r rune) bool { return !legal(r) }) < 0 {
		return s
	}
	var b strings.Builder
	for _, r := range s {
		switch {
		case legal(r):
			b.WriteRune(r)
		case r <= 0xFF:
			fmt.Fprintf(&b, "#x%02X", r)
		default:
			fmt.Fprintf(&b, "#x%04X", r)
		}
	}
	return b.String()
}
