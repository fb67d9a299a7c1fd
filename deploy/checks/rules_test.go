package checks

import (
	"context"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/common/promslog"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/promql/promqltest"
	"github.com/prometheus/prometheus/rules"
	"sigs.k8s.io/yaml"
)

// ruleTests are a file as promtool test rules takes it, as far as ours goes.
type ruleTests struct {
	RuleFiles          []string `json:"rule_files"`
	EvaluationInterval string   `json:"evaluation_interval"`
	Tests              []struct {
		Name        string
		Interval    string
		InputSeries []struct{ Series, Values string } `json:"input_series"`
		Expressions []struct {
			Expr       string
			EvalTime   string `json:"eval_time"`
			ExpSamples []struct {
				Labels string
				Value  float64
			} `json:"exp_samples"`
		} `json:"promql_expr_test"`
	}
}

// The alerts fire when they should, and not otherwise: deploy/prometheus/alerts_test.yml, without promtool, which is built
// of five times as much.
func TestAlerts(t *testing.T) {
	text, err := os.ReadFile("../prometheus/alerts_test.yml")
	if err != nil {
		t.Fatal(err)
	}
	var file ruleTests
	if err := yaml.UnmarshalStrict(text, &file); err != nil {
		t.Fatal(err)
	}
	if len(file.Tests) < 2 {
		t.Fatalf("%d tests", len(file.Tests))
	}
	for _, test := range file.Tests {
		t.Run(test.Name, func(t *testing.T) {
			load := "load " + test.Interval + "\n"
			for _, s := range test.InputSeries {
				load += "  " + s.Series + " " + s.Values + "\n"
			}
			storage := promqltest.LoadedStorage(t, load)
			t.Cleanup(func() { _ = storage.Close() })
			query := rules.EngineQueryFunc(promqltest.NewTestEngine(t, false, 0, 1_000_000), storage)
			m := rules.NewManager(&rules.ManagerOptions{
				QueryFunc: query, AppendableV2: storage, Context: t.Context(), Logger: promslog.NewNopLogger(),
				NotifyFunc: func(context.Context, string, ...*rules.Alert) {}, Parser: parser.NewParser(parser.Options{}),
			})
			groups, errs := m.LoadGroups(duration(t, file.EvaluationInterval), labels.EmptyLabels(), "", nil, false, "../prometheus/"+file.RuleFiles[0])
			if errs != nil {
				t.Fatal(errs)
			}
			for _, e := range test.Expressions {
				evaluate(t, groups, duration(t, e.EvalTime), duration(t, file.EvaluationInterval))
				got, err := query(t.Context(), e.Expr, time.Unix(0, 0).Add(duration(t, e.EvalTime)))
				if err != nil {
					t.Fatal(err)
				}
				want := make([]string, 0, len(e.ExpSamples))
				for _, s := range e.ExpSamples {
					want = append(want, s.Labels)
				}
				if has := names(got); !slices.Equal(has, sorted(want)) {
					t.Errorf("%s is\n%s\nand not\n%s", e.Expr, strings.Join(has, "\n"), strings.Join(sorted(want), "\n"))
				}
			}
			if n := alerts(groups); n != len(file.Tests[1].Expressions[0].ExpSamples) {
				t.Errorf("there are %d alerts, and fewer that are tested", n)
			}
		})
	}
}

// evaluate does what a server would have done until then.
func evaluate(t *testing.T, groups map[string]*rules.Group, until, every time.Duration) {
	t.Helper()
	for _, g := range groups {
		for _, r := range g.Rules() {
			if alert, ok := r.(*rules.AlertingRule); ok {
				alert.SetRestored(true) // else no ALERTS are stored
			}
		}
		for at := time.Duration(0); at <= until; at += every {
			g.Eval(t.Context(), time.Unix(0, 0).Add(at))
		}
		for _, r := range g.Rules() {
			if r.LastError() != nil {
				t.Errorf("%s: %v", r.Name(), r.LastError())
			}
		}
	}
}

func alerts(groups map[string]*rules.Group) (n int) {
	for _, g := range groups {
		n += len(g.AlertingRules())
	}
	return n
}

func duration(t *testing.T, text string) time.Duration {
	t.Helper()
	d, err := model.ParseDuration(text)
	if err != nil {
		t.Fatal(err)
	}
	return time.Duration(d)
}

func names(v promql.Vector) (all []string) {
	for _, s := range v {
		all = append(all, s.Metric.String())
	}
	return sorted(all)
}

func sorted(all []string) []string { return slices.Sorted(slices.Values(all)) }
