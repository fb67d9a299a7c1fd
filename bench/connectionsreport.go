package bench

import (
	"fmt"
	"io"
	"strconv"
	"text/tabwriter"

	"github.com/busbar-ws/busbar/bench/report"
)

// WriteTable writes the medians for people.
func (c *ConnectionCosts) WriteTable(w io.Writer) error {
	var t rows
	t.add("target", "user/connection", "min–max", "kernel/connection", "CPU/handshake", "min–max", "connects/s", "failed")
	for _, s := range c.Summary {
		t.add(s.Target, s.User.figure(size), s.User.limitsAs(size), s.Kernel.figure(ofMachine), s.Handshake.figure(nsText), s.Handshake.limitsAs(nsText),
			s.Connects.figure(whole), strconv.Itoa(s.Failures))
	}
	if err := t.write(w, tabwriter.AlignRight); err != nil {
		return err
	}
	for i, round := range c.Rounds {
		for target, text := range round.Errors {
			fmt.Fprintf(w, "round %d, %s: %s\n", i+1, target, text)
		}
		for _, r := range round.Idle {
			writeFailure(w, i, r.Target, r.Failed)
		}
		for _, r := range round.Storm {
			writeFailure(w, i, r.Target, r.Failed)
		}
	}
	return nil
}

func writeFailure(w io.Writer, round int, target, failed string) {
	if failed != "" {
		fmt.Fprintf(w, "round %d, %s: FAILED: %s\n", round+1, target, failed)
	}
}

func (s Spread) limitsAs(text func(float64) string) string {
	if s.Rounds == 0 {
		return "–"
	}
	if text(s.Min) == text(s.Max) {
		return text(s.Min)
	}
	return text(s.Min) + " – " + text(s.Max)
}

// Charts are memory and handshakes.
func (c *ConnectionCosts) Charts() []report.Chart {
	note := fmt.Sprintf("%d clients. %s Less is better.", c.Clients, medians(len(c.Rounds)))
	memory := report.Bars{Title: "Resident memory of the server per idle connection", Note: note}
	handshake := report.Bars{Title: "CPU per handshake", Note: note}
	for _, s := range c.Summary {
		memory.Rows = append(memory.Rows, spreadRow(s.Target, "raw", s.User, size))
		handshake.Rows = append(handshake.Rows, spreadRow(s.Target, "raw", s.Handshake, nsText))
	}
	ascending(memory.Rows)
	ascending(handshake.Rows)
	return []report.Chart{memory, handshake}
}
