package proof

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"github.com/prometheus/procfs"
)

// Sample is the server at one moment, from outside: figures by their names, and seconds since the start.
type Sample map[string]float64

// What may be more at the end than at the start, and why.
const (
	// The pools of the session store and of the change log's readers open a connection when all are in use, and
	// keep it: a file, its -wal and its -shm each.
	moreFiles = 36
	// A connection of the pool has no goroutine, one of the API has. Workers for lookups and
	// snapshots end when there's nothing to do; gnet's wait ten seconds.
	moreGoroutines = 4
	moreThreads    = 16 // the runtime keeps those that once were in a system call
	// Memory that the runtime has and doesn't need is given back slowly, and in spans that
	// are in use for one object perhaps. The log and the rows may be full, which they aren't
	// at the start; each is bounded by its flag.
	slackMiB = 48
	moreMiB  = (soakLogBytes+soakRowBytes)>>20 + slackMiB
)

// judged is what is asked of a figure at the end.
type judged uint8

const (
	never judged = iota
	zero         // nothing may be there when nobody is
	start        // no more than at the start, but for what may be more
)

type figure struct {
	name, unit string
	metrics    string // names of /metrics, whose sum it is
	judged     judged
	more       float64
	even       float64 // from so much on it may not grow under a load that doesn't; 0: it may
}

var figures = []figure{
	{"resident", "MiB", "process_resident_memory_bytes", start, moreMiB, 16},
	{"heap", "MiB", "go_memstats_heap_alloc_bytes", never, 0, 0}, // dead ones included that weren't collected yet
	{"goroutines", "", "go_goroutines", start, moreGoroutines, 24},
	{"threads", "", "go_threads", start, moreThreads, 0},
	// Descriptors: a socket is a client or a caller of the API, the rest is files (the database's) and the loops' own.
	{"sockets", "", "", start, 0, 24},
	{"files", "", "", start, moreFiles, 24},
	{"connections", "", "busbar_connections", zero, 0, 24},
	{"clients", "", "busbar_clients", zero, 0, 24},
	{"lagging", "", "busbar_clients_lagging", zero, 0, 0},
	{"subscriptions", "", "busbar_subscriptions", zero, 0, 24},
	{"queued messages", "", "busbar_loop_queue_frames", zero, 0, 0},
	{"queued", "MiB", "busbar_loop_queue_bytes", zero, 0, 0},
	{"panics", "", "busbar_handler_panics_total", zero, 0, 0},
	{"dropped by mailboxes", "", "queue_lossy queue_other", zero, 0, 0},
	{"delivered", "", "busbar_frames_delivered_total", never, 0, 0},
	{"accepted", "", "busbar_loop_accepted_total", never, 0, 0},
}

// sample reads them all. The connection of the scrape itself isn't among the sockets.
func (n *node) sample(ctx context.Context, since time.Time) (Sample, error) {
	text, err := n.call(ctx, "GET", "/metrics", "", nil)
	if err != nil {
		return nil, err
	}
	m, err := parseMetrics(text)
	if err != nil {
		return nil, err
	}
	s := Sample{"seconds": time.Since(since).Seconds()}
	for _, f := range figures {
		for name := range strings.FieldsSeq(f.metrics) {
			s[f.name] += m[name]
		}
		if f.unit == "MiB" {
			s[f.name] /= 1 << 20
		}
	}
	s["sockets"], s["files"], err = descriptors(n.pid())
	return s, err
}

// parseMetrics sums the samples of each name, and of each cause.
func parseMetrics(text []byte) (map[string]float64, error) {
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(bytes.NewReader(text))
	if err != nil {
		return nil, fmt.Errorf("reading metrics: %w", err)
	}
	sums := map[string]float64{}
	for name, family := range families {
		for _, m := range family.GetMetric() {
			v := m.GetGauge().GetValue() + m.GetCounter().GetValue() + m.GetUntyped().GetValue()
			sums[name] += v
			for _, label := range m.GetLabel() {
				if label.GetName() == "cause" && name == "busbar_messages_dropped_total" {
					sums[label.GetValue()] += v
				}
			}
		}
	}
	return sums, nil
}

// descriptors counts what a process has open.
func descriptors(pid int) (sockets, files float64, err error) {
	p, err := procfs.NewProc(pid)
	if err != nil {
		return 0, 0, fmt.Errorf("counting descriptors: %w", err)
	}
	targets, err := p.FileDescriptorTargets()
	for _, to := range targets {
		switch {
		case to == "": // closed meanwhile
		case strings.HasPrefix(to, "socket:"):
			sockets++
		default:
			files++
		}
	}
	return sockets, files, err
}

// leftBehind says what isn't back at the start; with none it says who is still there.
func leftBehind(now, first Sample) (left []string) {
	for _, f := range figures {
		if f.judged == never || f.judged == start && first == nil {
			continue
		}
		most := 0.0
		if f.judged == start {
			most = first[f.name] + f.more
		}
		if now[f.name] > most {
			left = append(left, fmt.Sprintf("%s: %.4g %s are left, and %.4g at most may be", f.name, now[f.name], f.unit, most))
		}
	}
	return left
}

// Figure is a number over a soak, and at its start and end.
type Figure struct {
	Name    string  `json:"name"`
	Unit    string  `json:"unit,omitempty"`
	Start   float64 `json:"start,omitempty"`
	Least   float64 `json:"least"`
	Median  float64 `json:"median"`
	Most    float64 `json:"most"`
	PerHour float64 `json:"per_hour,omitempty"` // slope of the line that fits best (least squares)
	End     float64 `json:"end,omitempty"`

	grown float64 // how far the median of the last third is above that of the first
}

// figuresOf leaves out the first fifth, when tables and buffers grow to the size that the load asks for.
func figuresOf(first, last Sample, all []Sample) (made []Figure) {
	all = all[len(all)/5:]
	for _, f := range figures {
		one := Figure{Name: f.name, Unit: f.unit, Start: first[f.name], End: last[f.name]}
		var values []float64
		var x, y, xx, xy float64
		for _, s := range all {
			hours, value := s["seconds"]/3600, s[f.name]
			values = append(values, value)
			x, y, xx, xy = x+hours, y+value, xx+hours*hours, xy+hours*value
		}
		n := float64(len(all))
		if spread := n*xx - x*x; spread > 0 {
			one.PerHour = (n*xy - x*y) / spread
		}
		if n > 0 {
			third := max(1, len(values)/3)
			one.grown = median(values[len(values)-third:]) - median(values[:third])
			one.Least, one.Median, one.Most = slices.Min(values), median(values), slices.Max(values)
		}
		made = append(made, one)
	}
	return made
}

func median(values []float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	return sorted[len(sorted)/2]
}

// growSeconds is how long a soak has to be for a trend to say anything: in less, one storm or
// one collection of garbage is the trend.
const growSeconds = 600

// growing names what has grown by a quarter from the first third to the last, under a load that
// was the same all along.
func growing(r *Run) (names []string) {
	if len(r.Samples) == 0 || r.Samples[len(r.Samples)-1]["seconds"] < growSeconds {
		return nil
	}
	for i, f := range r.Figures {
		if even := figures[i].even; even > 0 && f.grown > max(even, f.Median/4) {
			names = append(names, fmt.Sprintf("%s grows: by %.4g %s from the first third to the last, %.4g an hour", f.Name, f.grown, f.Unit, f.PerHour))
		}
	}
	return names
}
