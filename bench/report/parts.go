package report

import "strings"

// Part is either a table or lines of text.
type Part struct {
	Head []string // of a table; empty: its rows begin with their names
	Rows [][]string
	Text string
}

// Parts takes what a result writes as its table, in an order that is kept. Text comes
// through Write; tables come whole, through AddTable, from writers that know of it.
type Parts struct {
	parts []Part
	text  strings.Builder
}

// Write takes text.
func (p *Parts) Write(b []byte) (int, error) { return p.text.Write(b) }

// AddTable takes the cells of a table; with head the first row is its heading.
func (p *Parts) AddTable(cells [][]string, head bool) {
	p.flush()
	table := Part{Rows: cells}
	if head && len(cells) > 0 {
		table = Part{Head: cells[0], Rows: cells[1:]}
	}
	p.parts = append(p.parts, table)
}

// All is what came so far.
func (p *Parts) All() []Part {
	p.flush()
	return p.parts
}

func (p *Parts) flush() {
	if text := strings.Trim(p.text.String(), "\n"); text != "" {
		p.parts = append(p.parts, Part{Text: text})
	}
	p.text.Reset()
}
