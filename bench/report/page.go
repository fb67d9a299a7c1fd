package report

import (
	_ "embed"
	"fmt"
	"html/template"
	"io"
	"os"
)

// Result is what a scenario gives. A result is shown by the tables that it writes; one
// that is Charted has charts as well, and one that is Sectioned consists of others.
type Result interface{ WriteTable(w io.Writer) error }

// Charted is a Result that can be drawn.
type Charted interface{ Charts() []Chart }

// Sectioned is a Result that is shown as several, each under a heading.
type Sectioned interface{ Sections() []Section }

// Section is a part of a result.
type Section struct {
	Title  string
	Result Result
}

// Fact is a line of the circumstances of a run.
type Fact struct{ Name, Value string }

// Page is a report.
type Page struct {
	Title  string
	Facts  []Fact
	Result Result
}

//go:embed page.html
var pageText string

//go:embed page.css
var pageStyle string

var pageTemplate = template.Must(template.New("page").Parse(pageText))

// section is what the template shows of a Section.
type section struct {
	Title  string
	Charts []template.HTML
	Parts  []Part
}

// WriteHTML writes the page as one file that needs no other.
func (p Page) WriteHTML(path string) error {
	f, err := os.Create(path)
	if err == nil {
		if err = p.write(f); err == nil {
			err = f.Close()
		} else {
			_ = f.Close()
		}
	}
	if err != nil {
		return fmt.Errorf("writing a report: %w", err)
	}
	return nil
}

func (p Page) write(w io.Writer) error {
	var shown []section
	for _, s := range sectionsOf(p.Result) {
		one, err := show(s)
		if err != nil {
			return err
		}
		shown = append(shown, one)
	}
	return pageTemplate.Execute(w, map[string]any{
		"Title": p.Title, "Facts": p.Facts, "Sections": shown, "Style": template.CSS(pageStyle + style),
	})
}

func sectionsOf(r Result) []Section {
	if s, ok := r.(Sectioned); ok {
		return s.Sections()
	}
	return []Section{{Result: r}}
}

func show(s Section) (section, error) {
	var parts Parts
	if err := s.Result.WriteTable(&parts); err != nil {
		return section{}, err
	}
	one := section{Title: s.Title, Parts: parts.All()}
	if c, ok := s.Result.(Charted); ok {
		for _, chart := range c.Charts() {
			one.Charts = append(one.Charts, template.HTML(chart.draw().svg(false))) //nolint:gosec // escaped where it is drawn
		}
	}
	return one, nil
}
