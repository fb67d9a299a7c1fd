package bench

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/busbar-ws/busbar/bench/report"
)

// rows are lines of cells.
type rows [][]string

func (r *rows) add(cells ...string) { *r = append(*r, cells) }

// write aligns the cells; flags are of package tabwriter. With AlignRight the first line
// is a heading.
func (r rows) write(w io.Writer, flags uint) error {
	if page, ok := w.(*report.Parts); ok { // it aligns them itself
		page.AddTable(r, flags&tabwriter.AlignRight != 0)
		return nil
	}
	t := tabwriter.NewWriter(w, 0, 8, 2, ' ', flags)
	end := "\n"
	if flags&tabwriter.AlignRight != 0 {
		end = "\t\n" // a last cell without it is no part of a column
	}
	for _, cells := range r {
		fmt.Fprint(t, strings.Join(cells, "\t"), end)
	}
	return t.Flush()
}

// span is a time in nanoseconds with three digits or so.
func span[T int64 | float64](ns T) string {
	d := time.Duration(ns)
	switch {
	case d < 10*time.Microsecond:
		return d.String()
	case d < 10*time.Millisecond:
		return d.Round(100 * time.Nanosecond).String()
	}
	return d.Round(100 * time.Microsecond).String()
}

func size(bytes float64) string {
	switch {
	case bytes >= 10<<20 || bytes <= -10<<20:
		return fmt.Sprintf("%.1f MiB", bytes/(1<<20))
	case bytes >= 10<<10 || bytes <= -10<<10:
		return fmt.Sprintf("%.1f KiB", bytes/(1<<10))
	}
	return fmt.Sprintf("%.0f B", bytes)
}

// ofMachine is size for what the whole machine holds. Where that shrank, other work hides it.
func ofMachine(bytes float64) string {
	if bytes < 0 {
		return "–"
	}
	return size(bytes)
}

func sends(perDelivery float64) string {
	if perDelivery < 0 {
		return "not counted"
	}
	return fmt.Sprintf("%.3f", perDelivery)
}

func outcome(failed string, interrupted bool) string {
	return outcomeOf(failed, interrupted, "every message at every client, once, in order")
}

func outcomeOf(failed string, interrupted bool, good string) string {
	switch {
	case failed != "":
		return "FAILED: " + failed
	case interrupted:
		return "interrupted"
	}
	return good
}

// loadText is who makes the load, and where.
func loadText(workers int, on Cores) string {
	noun := "workers"
	if workers == 1 {
		noun = "worker"
	}
	return fmt.Sprintf("load: %d %s, cores %v", workers, noun, on.Load)
}

// WriteTable writes the result for people.
func (r *FanoutResult) WriteTable(w io.Writer) error {
	load := fmt.Sprintf("window of %d", r.Window)
	if r.Rate > 0 {
		load = fmt.Sprintf("%g messages a second", r.Rate)
	}
	if r.Namespace {
		load += ", through a veth pair"
	}
	seconds := max(r.Seconds, 1e-9)
	var t rows
	t.add("target", fmt.Sprintf("%s, cores %v; %s", r.Target, r.Cores.Server, loadText(r.Workers, r.Cores)))
	t.add("load", fmt.Sprintf("%d clients, %d bytes, %s", r.Clients, r.Size, load))
	t.add("outcome", outcome(r.Failed, r.Interrupted))
	if r.Deliveries == 0 {
		t.add("deliveries", "none were measured")
		return t.write(w, 0)
	}
	t.add("messages", fmt.Sprintf("%d in %.2f s", r.Messages, r.Seconds))
	t.add("deliveries", fmt.Sprintf("%d, %.0f a second", r.Deliveries, float64(r.Deliveries)/seconds))
	t.add("CPU per delivery", fmt.Sprintf("%s (process %s, ksoftirqd %s)", span(r.PerDelivery), span(r.CPU.Process), span(r.CPU.Ksoftirqd)))
	t.add("CPU of the process", fmt.Sprintf("user %s, system %s", span(r.CPU.User), span(r.CPU.System)))
	t.add("CPU of the machine", fmt.Sprintf("%s, load included; load and bench %s", span(r.CPU.Machine), span(r.CPU.Load)))
	t.add("sends per delivery", sends(r.Sends))
	t.latency("delivery", r.Latency)
	if r.Rate > 0 {
		t.latency("publisher late", r.Late)
	}
	t.add("resident", fmt.Sprintf("%s (%s)", size(float64(r.Memory.Resident)), r.Memory.Source))
	return t.write(w, 0)
}

func (r *rows) latency(name string, l Latency) {
	r.add(name, fmt.Sprintf("p50 %s  p90 %s  p99 %s  p99.9 %s  max %s", span(l.P50), span(l.P90), span(l.P99), span(l.P999), span(l.Max)))
}

// WriteTable writes the result for people.
func (r *IdleResult) WriteTable(w io.Writer) error {
	var t rows
	t.add("target", r.Target)
	t.add("clients", fmt.Sprint(r.Clients))
	t.add("outcome", outcome(r.Failed, r.Interrupted))
	t.add("connected in", span(r.Connect*1e9))
	if r.broadcast() {
		t.latency("delivery of a message to all", r.Delivery)
	}
	t.add("resident before", fmt.Sprintf("%s (%s)", size(float64(r.Before.Resident)), r.Before.Source))
	t.add("resident idle", size(float64(r.Idle.Resident)))
	user := size(r.User)
	if r.broadcast() {
		t.add("after a broadcast", size(float64(r.Sent.Resident)))
		user += "; after a broadcast " + size(r.UserSent)
	}
	t.add("user, per connection", user)
	t.add("kernel, per connection", fmt.Sprintf("slab %s, buffers %s (both ends)", ofMachine(r.Slab), ofMachine(r.Buffers)))
	return t.write(w, 0)
}

// WriteTable writes the result for people.
func (r *StormResult) WriteTable(w io.Writer) error {
	var t rows
	t.add("target", fmt.Sprintf("%s, cores %v; %s", r.Target, r.Cores.Server, loadText(r.Workers, r.Cores)))
	t.add("outcome", outcomeOf(r.Failed, false, "every client was let in"))
	t.add("connections", fmt.Sprintf("%d in %.2f s, %.0f a second, %d under way per worker", r.Clients, r.Seconds, r.PerSecond, r.Pace))
	t.add("CPU per handshake", fmt.Sprintf("%s (process %s, ksoftirqd %s)", span(r.PerHandshake), span(r.CPU.Process), span(r.CPU.Ksoftirqd)))
	t.latency("connect", r.Latency)
	return t.write(w, 0)
}

// WriteTable writes the result for people.
func (r *LoopsResult) WriteTable(w io.Writer) error {
	fmt.Fprintf(w, "%d clients, %d bytes, %d messages one at a time; the load stopped\n", r.Clients, r.Size, r.Messages)
	var t rows
	t.add("target", "cores", "deliveries/s", "speedup", "min–max", "rounds")
	for _, s := range r.Summary {
		on := "any"
		if len(s.Cores) > 0 {
			on = fmt.Sprint(s.Cores)
		}
		t.add(s.Target, on, s.PerSecond.figure(func(v float64) string { return fmt.Sprintf("%.0f", v) }),
			s.Speedup.figure(ratioText), s.Speedup.limits(), fmt.Sprint(s.PerSecond.Rounds))
	}
	if err := t.write(w, tabwriter.AlignRight); err != nil {
		return err
	}
	switch {
	case r.Failed != "":
		fmt.Fprintln(w, "FAILED:", r.Failed)
	case r.Interrupted:
		fmt.Fprintln(w, "interrupted: not every round is there")
	}
	return nil
}
