package bench

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
)

// WriteTable writes the result for people.
func (r *PresenceResult) WriteTable(w io.Writer) error {
	var t rows
	t.add("target", fmt.Sprintf("%s, cores %v; %s", r.Target, r.Cores.Server, loadText(r.Workers, r.Cores)))
	t.add("load", fmt.Sprintf("%d clients, %d of them send %g messages a second in all, %d bytes", r.Clients, r.Senders, r.Rate, r.Size))
	t.add("outcome", outcomeOf(r.Failed, r.Interrupted, r.good()))
	t.add("messages", fmt.Sprintf("%d sent in %.2f s: %d relayed, %d above the limit of a client", r.Sent, r.Seconds, r.Relayed, r.Limited))
	if r.Deliveries == 0 {
		t.add("deliveries", "none were measured")
		return t.write(w, 0)
	}
	t.add("deliveries", fmt.Sprintf("%d, %.0f a second; %d missing", r.Deliveries, float64(r.Deliveries)/max(r.Seconds, 1e-9), r.Missing))
	t.add("dropped by the server", causes(r.Dropped))
	t.add("CPU per delivery", fmt.Sprintf("%s (process %s, ksoftirqd %s)", span(r.PerDelivery), span(r.CPU.Process), span(r.CPU.Ksoftirqd)))
	t.add("sends per delivery", sends(r.Sends))
	t.latency("delivery", r.Latency)
	t.latency("sender late", r.Late)
	if l := r.Leave; l != nil {
		stayed := r.Clients - l.Clients
		t.add("leaving", fmt.Sprintf("%d clients; told in %s messages to each of %d that stayed, %s each",
			l.Clients, fromTo(l.Fewest, l.Most), stayed, size(float64(l.Bytes)/float64(max(l.Messages, 1)))))
		t.add("CPU of leaving", fmt.Sprintf("%s, %s for each that left", span(l.CPU.Server()), span(l.PerLeave)))
	}
	return t.write(w, 0)
}

func (r *PresenceResult) good() string {
	if r.Missing > 0 {
		return "in order, once; what is missing the server has dropped, which is allowed of presence"
	}
	return "every relayed message at every client, once, in order of each sender"
}

func fromTo(least, most uint64) string {
	if least == most {
		return fmt.Sprint(least)
	}
	return fmt.Sprintf("%d to %d", least, most)
}

// causes names what there is of each.
func causes(counts map[string]uint64) string {
	var some []string
	for _, cause := range slices.Sorted(maps.Keys(counts)) {
		if counts[cause] > 0 {
			some = append(some, fmt.Sprintf("%s %d", cause, counts[cause]))
		}
	}
	if len(some) == 0 {
		return "nothing"
	}
	return strings.Join(some, ", ")
}
