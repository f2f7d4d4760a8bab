package actions

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/yuin/goldmark"
	"github.com/yuin/goldmark/extension"
	renderer "github.com/yuin/goldmark/renderer/html"
	"golang.org/x/net/html"
)

// hostile are names that tests may have: parameter ids can be anything.
var hostile = []string{
	"::set-output name=a::b", "a|b", `a\|b`, "a\n| b |\n", "`a``b`", "*a* _b_ **c** ~~d~~", "<script>alert(1)</script>",
	"</code><img src=x onerror=y>", "[a](javascript:b)", "![a](http://b/c.png)", "&lt;b&gt; &#60;i&#62;", "# a", "@everyone a@b.com",
	"https://a.b/c www.a.b", "\x1b[31mred\x1b[0m", "%0A::error::x", "\u202egnitset", "a\xffb", "<!-- a", "]]> <?php", "\\", "", " a ", "$a^2$", ":smile:",
}

// rendered is Markdown as GitHub would show it: elements and, of each cell and
// each item, the text.
type rendered struct {
	elements map[string]int
	texts    []string
}

func render(t testing.TB, markdown string) rendered {
	t.Helper()
	var page bytes.Buffer
	gfm := goldmark.New(goldmark.WithExtensions(extension.GFM), goldmark.WithRendererOptions(renderer.WithUnsafe()))
	if err := gfm.Convert([]byte(markdown), &page); err != nil {
		t.Fatal(err)
	}
	root, err := html.Parse(&page)
	if err != nil {
		t.Fatal(err)
	}
	r := rendered{elements: map[string]int{}}
	for node := range root.Descendants() {
		if node.Type == html.CommentNode || node.Type == html.ElementNode && len(node.Attr) > 0 && node.Data != "td" && node.Data != "th" && node.Data != "code" {
			t.Errorf("the page has %v %q %v", node.Type, node.Data, node.Attr)
		}
		if node.Type != html.ElementNode {
			continue
		}
		r.elements[node.Data]++
		if slices.Contains([]string{"td", "li", "pre"}, node.Data) {
			var text strings.Builder
			for inner := range node.Descendants() {
				if inner.Type == html.TextNode {
					text.WriteString(inner.Data)
				}
			}
			r.texts = append(r.texts, text.String())
		}
	}
	return r
}

// TestSummaryHostile holds that names stay text, in their own cell.
func TestSummaryHostile(t *testing.T) {
	for _, name := range hostile {
		checkHostile(t, name)
	}
}

func FuzzSummary(f *testing.F) {
	for _, name := range hostile {
		f.Add(name)
	}
	f.Fuzz(func(t *testing.T, name string) { checkHostile(t, name) })
}

func checkHostile(t *testing.T, name string) {
	t.Helper()
	s := NewSummary(MaxSummary)
	s.Heading(Text("%s", name))
	s.Table([]Column{{Name: "test"}, {Name: "n", Right: true}}, [][]Inline{{Code(name), Text("%d", 1)}, {Code("b"), Text("%s", "x"+name)}})
	s.List([]Inline{Join(Code(name), Text(" ran"))})
	s.Shell([]string{"wcshard run -- " + name})
	got := render(t, s.String())

	seen := clip(Visible(name), maxCell)
	want := []string{seen, "1", "b", clip(Visible("x"+name), maxCell), seen + " ran", "wcshard run -- " + Visible(name) + "\n"}
	for i := range want {
		if i >= len(got.texts) || strings.TrimSpace(got.texts[i]) != strings.TrimSpace(want[i]) {
			t.Errorf("%q: the page shows %q, want %q", name, got.texts, want)
			break
		}
	}
	for element := range got.elements {
		if !slices.Contains(strings.Fields("html head body h3 table thead tbody tr th td ul li p pre code wbr"), element) {
			t.Errorf("%q: the page has an element <%s>", name, element)
		}
	}
	if got.elements["tr"] != 3 || got.elements["h3"] != 1 {
		t.Errorf("%q: the page has %d rows and %d headings, want 3 and 1", name, got.elements["tr"], got.elements["h3"])
	}
}

// TestSummaryLimit fills a summary to the last byte, and one byte over.
func TestSummaryLimit(t *testing.T) {
	fill := func(limit, n int) string {
		s := NewSummary(limit)
		s.Paragraph(Inline{strings.Repeat("x", n-2)})
		s.Paragraph(Text("end"))
		return s.String()
	}
	const end = len("\nend\n")
	for _, limit := range []int{MaxSummary, 1000} {
		full := limit - len(cutNote) - end
		if got := fill(limit, full); strings.Contains(got, "left out") || !strings.HasSuffix(got, "\nend\n") {
			t.Errorf("at the limit of %d: the summary was cut to %d bytes", limit, len(got))
		}
		if got := fill(limit, full+1); !strings.HasSuffix(got, cutNote) || strings.Contains(got, "end\n") || len(got) > limit {
			t.Errorf("one over the limit of %d: the summary has %d bytes and ends in %q", limit, len(got), got[max(0, len(got)-40):])
		}
	}
	if got := fill(MaxSummary+1, MaxSummary); len(got) > MaxSummary {
		t.Errorf("a summary has %d bytes, want at most %d whatever the limit", len(got), MaxSummary)
	}
	if got := NewSummary(len(cutNote) - 1).String(); got != "" {
		t.Errorf("without room for the note the summary is %q", got)
	}
}

// TestSummaryCut cuts each kind of part at every byte: what is left is whole
// lines, and blocks are closed.
func TestSummaryCut(t *testing.T) {
	build := func(limit int) string {
		s := NewSummary(limit)
		s.Shell([]string{"wcshard run --shard pool-1", "wcshard run --shard ```"})
		var rows [][]Inline
		for i := range 5 {
			rows = append(rows, []Inline{Code(fmt.Sprint("test_", i)), Text("%d", i)})
		}
		s.Table([]Column{{Name: "test"}, {Name: "n"}}, rows)
		return s.String()
	}
	whole := build(MaxSummary)
	if strings.Contains(whole, "left out") {
		t.Fatal("the summary was cut with room to spare")
	}
	for limit := range len(whole) + len(cutNote) {
		got := build(limit)
		if len(got) > limit {
			t.Fatalf("limit %d: %d bytes", limit, len(got))
		}
		if limit < len(cutNote) {
			continue
		}
		page := render(t, got)
		note := strings.Count(got, "left out")
		if page.elements["em"] != 1 || note != 1 || strings.Count(got, "````")%2 != 0 {
			t.Fatalf("limit %d: the note does not stand by itself in\n%s", limit, got)
		}
	}
}
