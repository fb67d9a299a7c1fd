package metrics

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
	dto "github.com/prometheus/client_model/go"
)

var update = flag.Bool("update", false, "write docs/metrics.md")

const docsHead = `# Metrics

What ` + "`/metrics`" + ` shows, beside Go's own (` + "`go_…`, `process_…`" + `). No name is ever taken away; with labels, one may be
absent until it counts. [protocol.md](protocol.md) says who may scrape it, and [delivery.md](delivery.md) what may be
lost. A histogram has ` + "`_bucket`, `_sum` and `_count`" + ` behind its name. Everything is of one process: with several nodes
add up what is to be added.

| metric | type | labels | what it is |
| --- | --- | --- | --- |
`

// docs/metrics.md is made from the tables of this package: go test ./hub/metrics -update.
func TestDocs(t *testing.T) {
	const page = "../../docs/metrics.md"
	var b bytes.Buffer
	b.WriteString(docsHead)
	for _, d := range All() {
		labels := ""
		for i, l := range d.Labels {
			if i > 0 {
				labels += ", "
			}
			labels += "`" + l + "`"
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", d.Name, d.Type, labels, d.Help)
	}
	if *update {
		if err := os.WriteFile(page, b.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if has, err := os.ReadFile(page); err != nil || !bytes.Equal(has, b.Bytes()) {
		t.Errorf("%s isn't what the tables say (%v): run go test ./hub/metrics -update", page, err)
	}
}

// What isn't the hub's keeps Prometheus' rules too. Of those with labels the scrape has nothing before they count.
func TestDefinitionsAreLinted(t *testing.T) {
	types := map[string]dto.MetricType{"counter": dto.MetricType_COUNTER, "gauge": dto.MetricType_GAUGE, "histogram": dto.MetricType_HISTOGRAM}
	seen := map[string]bool{}
	for _, d := range All() {
		kind, known := types[d.Type]
		if !known || seen[d.Name] || !strings.HasPrefix(d.Name, "busbar_") {
			t.Errorf("%s of type %q, seen before: %v", d.Name, d.Type, seen[d.Name])
		}
		seen[d.Name] = true
		problems, err := promlint.NewWithMetricFamilies([]*dto.MetricFamily{{Name: &d.Name, Help: &d.Help, Type: &kind}}).Lint()
		if err != nil || len(problems) > 0 {
			t.Errorf("%s: %v, %v", d.Name, problems, err)
		}
	}
	reg := prometheus.NewPedanticRegistry()
	reg.MustRegister(BuildInfo("v1"), LogRecordsDropped(func() uint64 { return 3 }))
	if n, err := reg.Gather(); err != nil || len(n) != 2 {
		t.Errorf("gathered %d, %v", len(n), err)
	}
}
