package metrics

import (
	"bytes"
	"math"
	"net/http/httptest"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"github.com/busbar-ws/busbar/eventloop"
	"github.com/busbar-ws/busbar/hub"
	"github.com/busbar-ws/busbar/internal/histogram"
)

// distinct is a snapshot in which every number is another one, starting at 1,000,001.
func distinct() (s hub.Stats, highest int) {
	n := 1_000_000
	s.Loops = make([]eventloop.LoopStats, 2)
	fill(reflect.ValueOf(&s).Elem(), &n)
	return s, n
}

func fill(v reflect.Value, n *int) {
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			fill(v.Field(i), n)
		}
	case reflect.Slice, reflect.Array:
		for i := range v.Len() {
			fill(v.Index(i), n)
		}
	case reflect.Map:
		v.Set(reflect.MakeMap(v.Type()))
		keys := []string{"one", "two"}
		if v.Type() == reflect.TypeFor[map[string]histogram.Snapshot]() {
			keys = []string{"broadcast_first_send", "broadcast_last_send", "flush", "handshake", "log_append", "log_read"}
		}
		for _, key := range keys {
			value := reflect.New(v.Type().Elem()).Elem()
			fill(value, n)
			v.SetMapIndex(reflect.ValueOf(key), value)
		}
	default:
		*n++
		v.Set(reflect.ValueOf(*n).Convert(v.Type()))
	}
}

// scrape is what Prometheus gets.
func scrape(t *testing.T, s hub.Stats) string {
	t.Helper()
	w := httptest.NewRecorder()
	h := promhttp.HandlerFor(NewRegistry(func() hub.Stats { return s }), promhttp.HandlerOpts{})
	h.ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	if w.Code != 200 {
		t.Fatalf("status %d: %s", w.Code, w.Body)
	}
	return w.Body.String()
}

func parse(t *testing.T, text string) map[string]*dto.MetricFamily {
	t.Helper()
	parser := expfmt.NewTextParser(model.LegacyValidation)
	families, err := parser.TextToMetricFamilies(strings.NewReader(text))
	if err != nil {
		t.Fatalf("%v in:\n%s", err, text)
	}
	return families
}

// docs/protocol.md section 5: /metrics has numbers for Prometheus.
func TestScrapeIsPrometheusText(t *testing.T) {
	s, _ := distinct()
	text := scrape(t, s)
	parsed := parse(t, text)
	for name := range parsed {
		if !strings.Contains(text, "# HELP "+name+" ") || !strings.Contains(text, "# TYPE "+name+" ") {
			t.Errorf("%s has no HELP or no TYPE", name)
		}
	}
	for _, name := range []string{"busbar_connections", "busbar_messages_dropped_total", "go_goroutines", "process_open_fds"} {
		if parsed[name] == nil {
			t.Errorf("%s is missing", name)
		}
	}
	problems, err := promlint.New(bytes.NewBufferString(text)).Lint()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		if strings.HasPrefix(p.Metric, "busbar_") {
			t.Errorf("%s: %s", p.Metric, p.Text)
		}
	}
}

// A counter that nobody can see is no counter.
func TestEveryNumberOfStatsIsShown(t *testing.T) {
	s, highest := distinct()
	shown := make(map[int]string)
	for name, f := range parse(t, scrape(t, s)) {
		for _, m := range f.Metric {
			shown[int(m.GetGauge().GetValue()+m.GetCounter().GetValue())] = name
			before := uint64(0) // the last bucket of the text is +Inf
			for _, b := range m.GetHistogram().GetBucket() {
				shown[int(b.GetCumulativeCount()-before)] = name
				before = b.GetCumulativeCount()
			}
			shown[int(math.Round(m.GetHistogram().GetSampleSum()*1e9))] = name
		}
	}
	// Of a loop only what isn't in a total needs a name.
	inTotals := regexp.MustCompile(`^(Lagging|Handshakes|AcceptPaused|Deflating|InflateErrors|Subscriptions|MessagesIn|BytesIn|Flushes|Sends|BytesOut|FramesOut|LagDropped|LagReplays|LagSuperseded|Panics|Dropped.*)$`)
	for _, l := range s.Loops {
		for _, f := range reflect.VisibleFields(reflect.TypeOf(l)) {
			if inTotals.MatchString(f.Name) {
				v := reflect.ValueOf(l).FieldByIndex(f.Index)
				shown[int(v.Convert(reflect.TypeFor[int]()).Int())] = f.Name
			}
		}
	}
	for n := 1_000_001; n <= highest; n++ {
		if shown[n] == "" {
			t.Errorf("number %d of hub.Stats, counted in the order of its fields, is in no metric", n-1_000_000)
		}
	}
}

func TestScrapeReadsStatsOnce(t *testing.T) {
	calls := 0
	reg := NewRegistry(func() hub.Stats { calls++; return hub.Stats{} })
	for want := range 3 {
		if calls != want {
			t.Fatalf("%d reads after %d scrapes", calls, want)
		}
		if _, err := reg.Gather(); err != nil {
			t.Fatal(err)
		}
	}
}

// The registry collects on goroutines of its own. A panic there is the scrape's error: client_golang sees to that.
func TestPanicWhileCollecting(t *testing.T) {
	reg := prometheus.NewRegistry()
	reg.MustRegister(NewCollector(func() hub.Stats { panic("no numbers") }))
	if _, err := reg.Gather(); err == nil || !strings.Contains(err.Error(), "no numbers") {
		t.Errorf("gathered with %v", err)
	}
}
