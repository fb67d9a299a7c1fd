package bench

import (
	"fmt"
	"io"
	"text/tabwriter"
)

// WriteTable writes the result for people.
func (r *RowsResult) WriteTable(w io.Writer) error {
	load := fmt.Sprintf("window of %d", r.Window)
	if r.Rate > 0 {
		load = fmt.Sprintf("%g messages a second", r.Rate)
	}
	var t rows
	server := fmt.Sprintf("%s, cores %v", r.Target, r.Cores.Server)
	if r.Loops > 0 { // it was asked
		server += fmt.Sprintf(", %d loops", r.Loops)
	}
	t.add("target", fmt.Sprintf("%s; %s", server, loadText(r.Workers, r.Cores)))
	t.add("load", fmt.Sprintf("%d clients, %d rows each, %d to a row, %d bytes, %s", r.Clients, r.RowsEach, r.Subscribers, r.Size, load))
	t.add("outcome", outcomeOf(r.Failed, r.Interrupted, "every message at exactly its subscribers, once, in order"))
	if r.Subscriptions == 0 {
		t.add("subscribing", "not measured")
		return t.write(w, 0)
	}
	subscribing := fmt.Sprintf("%d in %.2f s, %.0f a second", r.Subscriptions, r.SubscribeSeconds, float64(r.Subscriptions)/max(r.SubscribeSeconds, 1e-9))
	if r.SubscribeCPU > 0 {
		subscribing += fmt.Sprintf(", CPU %s each", span(r.SubscribeCPU))
	}
	t.add("subscribing", subscribing)
	if r.Subscribed.Resident > 0 {
		t.add("memory", fmt.Sprintf("%s per subscription; resident %s connected, %s subscribed (%s)", size(r.PerSubscription),
			size(float64(r.Connected.Resident)), size(float64(r.Subscribed.Resident)), r.Connected.Source))
	}
	if r.OverSome > 0 {
		t.add("rows, CPU per delivery", fmt.Sprintf("%.2f of that to as many clients without rows", r.OverSome))
	}
	if r.OverAll > 0 {
		t.add("", fmt.Sprintf("%.2f of that of a message to all", r.OverAll))
	}
	if r.ToRows.Messages > 0 {
		t.add("loops with a subscriber", fmt.Sprintf("%.3f a row on average; those without one were given %d messages", r.LoopsWanted, r.ToRows.Unwanted))
	}
	if err := t.write(w, 0); err != nil || r.ToRows.Messages == 0 {
		return err
	}
	fmt.Fprintln(w)
	return r.phases().write(w, tabwriter.AlignRight)
}

// phases is a line for each way of publishing that was measured.
func (r *RowsResult) phases() rows {
	var t rows
	t.add("", "messages", "deliveries", "CPU/publish", "CPU/delivery", "sends/delivery", "wakes/publish", "p50", "p99", "max", "late p99")
	for _, line := range []struct {
		name string
		p    *RowsPhase
	}{{"to rows", &r.ToRows}, {fmt.Sprintf("to %d clients", r.Subscribers), &r.ToSome}, {"to all", &r.ToAll}} {
		p := line.p
		if p.Messages == 0 {
			continue
		}
		late := "–"
		if r.Rate > 0 {
			late = span(p.Late.P99)
		}
		t.add(line.name, fmt.Sprint(p.Messages), fmt.Sprint(p.Deliveries), span(p.PerPublish), span(p.PerDelivery), sends(p.Sends),
			fmt.Sprintf("%.3f", float64(p.Wakes)/float64(p.Messages)), span(p.Latency.P50), span(p.Latency.P99), span(p.Latency.Max), late)
	}
	return t
}
