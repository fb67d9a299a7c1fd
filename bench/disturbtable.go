package bench

import (
	"fmt"
	"io"
	"slices"
	"strconv"
	"text/tabwriter"
)

func whole(v float64) string { return strconv.FormatFloat(v, 'f', 0, 64) }

// WriteTable writes the result for people: medians, and the range of the ratios.
func (r *DisturbResult) WriteTable(w io.Writer) error {
	if len(r.Rounds) == 0 {
		return nil
	}
	if err := r.head().write(w, 0); err != nil {
		return err
	}
	fmt.Fprintln(w)
	paired := r.Rounds[0].Without != nil
	var t rows
	if paired {
		t.add("", "without", "with", "with ÷ without", "min–max", "rounds")
	} else {
		t.add("", r.Scenario)
	}
	for _, f := range disturbFigures {
		s := r.figure(f)
		switch {
		case s.With.Rounds+s.Without.Rounds == 0:
		case paired:
			rounds := strconv.Itoa(max(s.With.Rounds, s.Without.Rounds))
			t.add(f.title, s.Without.figure(f.text), s.With.figure(f.text), s.Ratio.figure(ratioText), s.Ratio.limits(), rounds)
		default:
			t.add(f.title, s.With.figure(f.text))
		}
	}
	if len(t) == 1 {
		_, err := fmt.Fprintln(w, "nothing else was measured")
		return err
	}
	if err := t.write(w, tabwriter.AlignRight); err != nil {
		return err
	}
	for _, column := range []struct {
		name string
		run  func(DisturbRound) *DisturbRun
	}{
		{"without", func(d DisturbRound) *DisturbRun { return d.Without }},
		{"with", func(d DisturbRound) *DisturbRun { return d.With }},
	} {
		whole := slices.ContainsFunc(r.Rounds, func(d DisturbRound) bool { return column.run(d).counts() })
		if last := column.run(r.Rounds[len(r.Rounds)-1]); paired && !whole && last.cutShort() {
			fmt.Fprintf(w, "%s: of the run that was interrupted, which is shorter\n", column.name)
		}
	}
	return nil
}

// head is what was run, and what became of the clients.
func (r *DisturbResult) head() (t rows) {
	first := r.Rounds[0].With
	if first == nil {
		first = r.Rounds[0].Without
	}
	load := fmt.Sprintf("window of %d", first.Window)
	if first.Rate > 0 {
		load = fmt.Sprintf("%g messages a second", first.Rate)
	}
	t.add("target", fmt.Sprintf("%s, cores %v; %s", r.Target, first.Cores.Server, loadText(first.Workers, first.Cores)))
	t.add("load", fmt.Sprintf("%d clients, %s bytes, %s", first.Clients, first.Sizes, load))
	t.add("outcome", r.outcome())
	total := r.totals()
	if first.Stalled > 0 {
		t.add("stopped reading", total.Stalled.String())
		if s := total.Stalled; r.Failed == "" && !r.Interrupted && s.Clients > 0 && s.CaughtUp == s.Clients && s.Told+s.Gapped+s.Lost == 0 {
			t.add("", "all of it waited for them: that a server notices takes a longer run, or more bytes a second")
		}
	}
	if first.Churn > 0 {
		t.add("came and left", fmt.Sprintf("%d came, %d left, in all rounds; %g a second were asked for", total.Churn.Came, total.Churn.Left, first.Churn))
		t.add("at the end", r.atEnd())
	}
	if first.Storm > 0 {
		t.add("came at once", strconv.Itoa(first.Storm)+", each left when it was connected")
	}
	if total.Texts > 0 {
		t.add("text messages", fmt.Sprintf("%d, which tell clients of each other", total.Texts))
	}
	return t
}

func (r *DisturbResult) outcome() string {
	if r.Failed == "" && !r.Interrupted {
		return "every message at every client that reads, once, in order"
	}
	return outcome(r.Failed, r.Interrupted)
}

// atEnd is how many clients the server counted at the end of the last disturbed run.
func (r *DisturbResult) atEnd() string {
	last := r.Rounds[len(r.Rounds)-1].With
	if last == nil || last.AtEnd == 0 {
		return "the server wasn't asked"
	}
	return fmt.Sprintf("the server counts %d clients, as many as are connected", last.AtEnd)
}

// String says what became of the clients that stopped reading, in one line.
func (s Stalled) String() string {
	return fmt.Sprintf("%d: %d were disconnected (%d had a Close frame), %d were told of a loss, %d lost %d messages, %d caught up, %d didn't",
		s.Clients, s.Disconnected, s.Closed, s.Told, s.Gapped, s.Lost, s.CaughtUp, s.Behind)
}
