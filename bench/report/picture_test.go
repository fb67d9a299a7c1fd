package report_test

import (
	"encoding/xml"
	"errors"
	"io"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"
)

// element is an XML element with the text directly inside of it.
type element struct {
	name  string
	attrs map[string]string
	text  string
}

func (e element) number(t *testing.T, attr string) float64 {
	t.Helper()
	v, err := strconv.ParseFloat(e.attrs[attr], 64)
	if err != nil {
		t.Fatalf("<%s> has %s=%q", e.name, attr, e.attrs[attr])
	}
	return v
}

func (e element) is(class string) bool {
	return strings.Contains(" "+e.attrs["class"]+" ", " "+class+" ")
}

// parse fails the test unless the text is well-formed XML, as charts and pages are.
func parse(t *testing.T, text string) []element {
	t.Helper()
	var all []element
	var open []int
	d := xml.NewDecoder(strings.NewReader(text))
	for {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			return all
		}
		if err != nil {
			t.Fatalf("%v in\n%s", err, text)
		}
		switch token := token.(type) {
		case xml.StartElement:
			e := element{name: token.Name.Local, attrs: map[string]string{}}
			for _, a := range token.Attr {
				e.attrs[a.Name.Local] = a.Value
			}
			open, all = append(open, len(all)), append(all, e)
		case xml.EndElement:
			open = open[:len(open)-1]
		case xml.CharData:
			if len(open) > 0 {
				all[open[len(open)-1]].text += string(token)
			}
		}
	}
}

func find(all []element, name, class string) []element {
	var found []element
	for _, e := range all {
		if e.name == name && (class == "" || e.is(class)) {
			found = append(found, e)
		}
	}
	return found
}

// checkSelfContained fails unless nothing has to be loaded, and nothing runs.
func checkSelfContained(t *testing.T, text string) {
	t.Helper()
	rest := strings.ReplaceAll(text, `xmlns="http://www.w3.org/2000/svg"`, "") // a name, not an address
	for _, forbidden := range []string{"http://", "https://", "url(", "@import", "<script", "<link", "<img", " src=", "href="} {
		if strings.Contains(rest, forbidden) {
			t.Errorf("%q is in\n%s", forbidden, text)
		}
	}
}

// checkInside fails when something would be cut off. Text is taken to be half as wide as
// high, a bit less than what sans-serif fonts have.
func checkInside(t *testing.T, all []element) {
	t.Helper()
	root := all[0]
	width, height := root.number(t, "width"), root.number(t, "height")
	for i, e := range all {
		if e.name != "text" {
			continue
		}
		x, y := e.number(t, "x"), e.number(t, "y")
		text := e.text
		if i+1 < len(all) && all[i+1].name == "tspan" {
			text += "  " + all[i+1].text
		}
		long := float64(utf8.RuneCountInString(text)) * 6.5
		switch e.attrs["text-anchor"] {
		case "end":
			x -= long
		case "middle":
			x -= long / 2
		}
		if x < 0 || x+long > width || y < 10 || y > height {
			t.Errorf("%q at %v, %v doesn't fit into %v × %v", text, x, y, width, height)
		}
	}
	for _, e := range find(all, "rect", "bar") {
		if x := e.number(t, "x"); x < 0 || x+e.number(t, "width") > width || e.number(t, "y")+e.number(t, "height") > height {
			t.Errorf("a bar ends outside: %v", e.attrs)
		}
	}
}
