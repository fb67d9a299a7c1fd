package bench

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/busbar-ws/busbar/bench/report"
)

// Markdown is the suite in short, with the first two of Pictures, which are in a folder.
func (s *Suite) Markdown(folder string) string {
	var b strings.Builder
	for _, p := range s.Pictures()[:2] {
		fmt.Fprintf(&b, "![%s](%s/%s)\n", p.Chart.(report.Bars).Title, folder, p.File)
	}
	fmt.Fprintf(&b, "\n%s\n\n", s.caption())
	s.markdownTable(&b)
	if s.Slow != nil {
		for _, slow := range s.Slow.Summary[1:] {
			fmt.Fprintf(&b, "\n%s\n", s.slowSentence(slow))
		}
	}
	return b.String()
}

// caption says what the table is of.
func (s *Suite) caption() string {
	m := s.Machine
	return fmt.Sprintf("%s: %s, %s, %.0f GiB, Linux %s, %s, Busbar %s. The server has one core, the load the others. "+
		"CPU is that of the server's process and of its core's ksoftirqd, divided by the base's in the same round; in parentheses the lowest and highest round. "+
		"%d clients, messages of %d bytes, %d rounds; memory and handshakes: %d clients, rounds: %d.",
		m.Date.Format("2006-01-02"), m.CPU, cores(m.Cores), float64(m.Memory)/(1<<30), m.Kernel, m.Go, m.Busbar,
		s.Clients, s.Size, len(s.Single.Rounds), s.Connections.Clients, len(s.Connections.Rounds))
}

func cores(n int) string {
	if n == 1 {
		return "1 core"
	}
	return fmt.Sprintf("%d cores", n)
}

func (s *Suite) markdownTable(b *strings.Builder) {
	fmt.Fprintf(b, "| server | CPU per delivery, one at a time%s | p99 | CPU per delivery, %d in flight%s | sends per delivery | memory per idle connection | CPU per handshake |\n",
		divided(s.Single), s.Window, divided(s.Windowed))
	b.WriteString("| --- | --- | --- | --- | --- | --- | --- |\n")
	for _, one := range s.ascending() {
		many := s.Windowed.of(one.Target)
		connections := s.Connections.of(one.Target)
		name := one.Target
		if name == s.Own {
			name = "**" + name + "**"
		}
		fmt.Fprintf(b, "| %s | %s | %s | %s | %s | %s | %s |\n", name, s.Single.cell(one), one.P99.figure(nsText),
			s.Windowed.cell(many), many.Sends.figure(sends), connections.User.figure(size), connections.Handshake.figure(nsText))
	}
}

func divided(c *Comparison) string {
	if c.Base == "" {
		return ""
	}
	return ", to " + c.Base
}

// ascending is every target, the cheapest first; those without a figure come last.
func (s *Suite) ascending() []Summary {
	return slices.SortedStableFunc(slices.Values(s.Single.Summary), func(a, b Summary) int {
		if (a.CPU.Rounds == 0) != (b.CPU.Rounds == 0) {
			return cmp.Compare(b.CPU.Rounds, a.CPU.Rounds)
		}
		return cmp.Compare(a.cost(), b.cost())
	})
}

// cost is the ratio, or CPU where there is no base.
func (s Summary) cost() float64 {
	if s.Ratio.Rounds > 0 {
		return s.Ratio.Median
	}
	return s.CPU.Median
}

// cell is a target's CPU per delivery, with what failed.
func (c *Comparison) cell(s Summary) string {
	spread, text := s.Ratio, shortRatio
	if c.Base == "" {
		spread, text = s.CPU, nsText
	}
	cell := spread.figure(text)
	if spread.Rounds > 1 && text(spread.Min) != text(spread.Max) {
		cell += " (" + spread.limitsAs(text) + ")"
	}
	if s.Failures > 0 {
		cell += fmt.Sprintf("; %d of %d rounds failed", s.Failures, len(c.Rounds))
	}
	return cell
}

func (c *Comparison) of(target string) Summary {
	i := slices.IndexFunc(c.Summary, func(s Summary) bool { return s.Target == target })
	if i < 0 {
		return Summary{Target: target}
	}
	return c.Summary[i]
}

func (s *Suite) slowSentence(slow Summary) string {
	own := s.Slow.of(s.Own)
	if slow.CPU.Rounds == 0 || own.CPU.Rounds == 0 {
		return fmt.Sprintf("*%s* is too slow for these loads, and no round counts with a smaller one.", slow.Target)
	}
	idle := s.SlowIdle.of(slow.Target)
	return fmt.Sprintf("*%s* is too slow for these loads. With %s it made %s deliveries a second, p50 %s, where %s made %s, p50 %s. "+
		"It holds %s per idle connection; a handshake takes %s of CPU.",
		slow.Target, s.Slow.load(), whole(slow.Deliveries.Median), nsText(slow.P50.Median), s.Own, whole(own.Deliveries.Median),
		nsText(own.P50.Median), idle.User.figure(size), idle.Handshake.figure(nsText))
}
