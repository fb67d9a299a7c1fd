package bench

import (
	"fmt"
	"io"
	"strconv"
	"text/tabwriter"
)

// WriteTable writes the comparison for people: medians, and the range of the ratio.
func (c *Comparison) WriteTable(w io.Writer) error {
	c.Machine.write(w)
	if err := c.writeFigures(w); err != nil {
		return err
	}
	if c.Base == "" && len(c.Summary) > 1 {
		fmt.Fprintln(w, "no ratios: raw (with -window above 1 raw-batch) isn't among the targets; -base names one of them in its place")
	}
	return nil
}

// writeFigures is the table without the machine.
func (c *Comparison) writeFigures(w io.Writer) error {
	ratio := "ratio"
	if c.Base != "" {
		ratio = "to " + c.Base
	}
	var t rows
	t.add("target", ratio, "min–max", "CPU/delivery", "machine/delivery", ratio, "sends/delivery", "deliveries/s", "p50", "p99", "rounds", "failed")
	for _, s := range c.Summary {
		t.add(s.Target, s.Ratio.figure(ratioText), s.Ratio.limits(), s.CPU.figure(span[float64]),
			s.Machine.figure(span[float64]), s.MachineTo.figure(ratioText), s.Sends.figure(sends),
			s.Deliveries.figure(func(v float64) string { return strconv.FormatFloat(v, 'f', 0, 64) }),
			s.P50.figure(span[float64]), s.P99.figure(span[float64]), strconv.Itoa(s.CPU.Rounds), strconv.Itoa(s.Failures))
	}
	if err := t.write(w, tabwriter.AlignRight); err != nil {
		return err
	}
	for i, round := range c.Rounds {
		for target, text := range round.Errors {
			fmt.Fprintf(w, "round %d, %s: %s\n", i+1, target, text)
		}
		for _, r := range round.Results {
			if r.Failed != "" {
				fmt.Fprintf(w, "round %d, %s: FAILED: %s\n", i+1, r.Target, r.Failed)
			}
		}
	}
	if c.Interrupted {
		fmt.Fprintln(w, "interrupted: not every round is there")
	}
	return nil
}

func ratioText(v float64) string { return fmt.Sprintf("%.2f", v) }

// figure is the median, or a dash when no round counted.
func (s Spread) figure(text func(float64) string) string {
	if s.Rounds == 0 {
		return "–"
	}
	return text(s.Median)
}

func (s Spread) limits() string {
	if s.Rounds == 0 {
		return "–"
	}
	return ratioText(s.Min) + "–" + ratioText(s.Max)
}
