package bench

import (
	"fmt"
	"io"
	"slices"

	"github.com/busbar-ws/busbar/bench/report"
)

// part is a section, and whether anything in it was measured.
type part struct {
	title string
	report.Result
	begun bool
}

// Sections are the parts of the suite that there are. What an interrupted one didn't come
// to isn't among them.
func (s *Suite) Sections() []report.Section {
	parts := []part{
		{"One message at a time", s.Single, s.Single.begun()},
		{fmt.Sprintf("%d messages in flight", s.Window), s.Windowed, s.Windowed.begun()},
		{"Connections", s.Connections, s.Connections.begun()},
		{"Too slow for the above: fan-out", s.Slow, s.Slow.begun()},
		{"Too slow for the above: connections", s.SlowIdle, s.SlowIdle.begun()},
	}
	var sections []report.Section
	for _, p := range parts {
		if p.begun {
			sections = append(sections, report.Section{Title: p.title, Result: p.Result})
		}
	}
	return sections
}

func (c *Comparison) begun() bool {
	return c != nil && slices.ContainsFunc(c.Rounds, func(r Round) bool { return len(r.Results)+len(r.Errors) > 0 })
}

func (c *ConnectionCosts) begun() bool {
	return c != nil && slices.ContainsFunc(c.Rounds, func(r ConnectionRound) bool { return len(r.Storm)+len(r.Errors) > 0 })
}

// WriteTable writes all tables for people.
func (s *Suite) WriteTable(w io.Writer) error {
	fmt.Fprintln(w, s.Machine)
	for _, part := range s.Sections() {
		fmt.Fprintf(w, "\n%s\n", part.Title)
		write := part.Result.WriteTable
		if c, ok := part.Result.(*Comparison); ok {
			write = c.writeFigures // the machine stands above
		}
		if err := write(w); err != nil {
			return err
		}
	}
	if s.Interrupted {
		fmt.Fprintln(w, "\ninterrupted: not everything is there")
	}
	return nil
}

// Picture is a chart and the name of its file, without a folder.
type Picture struct {
	File  string
	Chart report.Chart
}

// Pictures are the charts for use as images.
func (s *Suite) Pictures() []Picture {
	connections := s.Connections.Charts()
	return []Picture{
		{"one-at-a-time.svg", s.Single.costChart()},
		{"in-flight.svg", s.Windowed.costChart()},
		{"memory.svg", connections[0]},
		{"handshakes.svg", connections[1]},
	}
}
