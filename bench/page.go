package bench

import (
	_ "embed"
	"fmt"
	"html/template"
	"io"
	"slices"

	"github.com/go-echarts/go-echarts/v2/charts"
	"github.com/go-echarts/go-echarts/v2/opts"
	"github.com/go-echarts/go-echarts/v2/types"
)

//go:embed page.html
var pageText string

var pageTemplate = template.Must(template.New("page").Parse(pageText))

// page is what the template shows of a section.
type page struct {
	*Section
	Tables []Table
	Charts []template.HTML
	Notes  []string
}

// WriteHTML writes everything as one page. Its tables are plain HTML; the script that draws its
// charts is loaded from the network.
func (d *Document) WriteHTML(w io.Writer) error {
	var shown []page
	for _, s := range d.Sections {
		p := page{Section: s, Tables: s.Tables()}
		for i, c := range s.charts() {
			p.Charts = append(p.Charts, c.draw(fmt.Sprintf("chart%d_%d", len(shown), i)))
		}
		if s.versus() {
			for _, r := range s.Results {
				for _, why := range r.Failures {
					p.Notes = append(p.Notes, r.Name+": FAILED: "+why)
				}
			}
		}
		if s.Interrupted {
			p.Notes = append(p.Notes, "interrupted: not everything is there")
		}
		shown = append(shown, p)
	}
	return pageTemplate.Execute(w, map[string]any{"Document": d, "Sections": shown})
}

// chart is bars for each of some names, or with points lines. A value is in the unit that the axis
// names, so that labels are short.
type chart struct {
	title, unit string
	names       []string // of the bars, the first at the top
	series      []string
	values      [][]float64 // by series and name
	stacked     bool
	curves      []Curve
}

// charts are what a section's figures look like.
func (s *Section) charts() (all []chart) {
	if s.versus() {
		if s.Base != "" {
			all = append(all, s.bars("CPU per delivery, divided by that of "+s.Base, "×", 1, true, "cpu_per_delivery"))
		}
		all = append(all, s.bars("Latency of delivery", "ms", 1e6, false, "delivery_p50", "delivery_p99", "delivery_max"),
			s.bars("Resident memory of the server per connection", "KiB", 1024, false, "user_memory_per_connection"),
			s.bars("CPU per handshake", "µs", 1e3, false, "cpu_per_handshake"))
	}
	split := s.bars("CPU per delivery", "µs", 1e3, false, "user_cpu_per_delivery", "kernel_cpu_per_delivery", "ksoftirqd_cpu_per_delivery")
	split.stacked = true
	all = append(all, split)
	if !s.versus() {
		curves := chart{title: "Latency", unit: "ms"}
		for _, r := range s.Results {
			for _, c := range r.Curves {
				c.Name = title(c.Name)
				if len(s.Results) > 1 {
					c.Name += ", " + r.Name
				}
				curves.curves = append(curves.curves, c)
			}
		}
		all = append(all, curves)
	}
	return slices.DeleteFunc(all, func(c chart) bool { return len(c.names)+len(c.curves) == 0 })
}

// bars has a bar for each result that has the first of some figures, and a series for each figure.
func (s *Section) bars(name, unit string, by float64, ratio bool, figures ...string) chart {
	c := chart{title: name, unit: unit, values: make([][]float64, len(figures))}
	for _, f := range figures {
		c.series = append(c.series, title(f))
	}
	for _, r := range s.ascending(figures[0]) {
		if f := r.Figure(figures[0]); len(f.Values) == 0 || ratio && f.Ratio == nil {
			continue
		}
		c.names = append(c.names, r.Name)
		for i, name := range figures {
			v := r.Figure(name).Median / by
			if ratio {
				v = r.Figure(name).Ratio.Median
			}
			c.values[i] = append(c.values[i], rounded(v))
		}
	}
	return c
}

// rounded has the digits that people read.
func rounded(v float64) float64 {
	var r float64
	if _, err := fmt.Sscan(fmt.Sprintf("%.3g", v), &r); err != nil {
		return v
	}
	return r
}

func (c *chart) draw(id string) template.HTML {
	height := fmt.Sprint(130+len(c.names)*max(28, 18*len(c.series)), "px")
	if c.stacked {
		height = fmt.Sprint(130+len(c.names)*32, "px")
	}
	if len(c.curves) > 0 {
		height = "360px"
	}
	// Names of axes stand above or in the middle below, and labels inside of the grid.
	global := []charts.GlobalOpts{
		charts.WithInitializationOpts(opts.Initialization{ChartID: id, Width: "100%", Height: height}),
		charts.WithTitleOpts(opts.Title{Title: c.title, TitleStyle: &opts.TextStyle{FontSize: 15, Width: 300, Overflow: "break"}}),
		charts.WithLegendOpts(opts.Legend{Show: opts.Bool(len(c.series)+len(c.curves) > 1), Bottom: "0", Type: "scroll"}),
		charts.WithTooltipOpts(opts.Tooltip{Show: opts.Bool(true), Trigger: "axis"}),
		charts.WithGridOpts(opts.Grid{Left: "8", Right: "56", Top: "48", Bottom: "56", ContainLabel: opts.Bool(true)}),
	}
	if len(c.curves) > 0 {
		return c.lines(global)
	}
	bar := charts.NewBar()
	bar.SetGlobalOptions(append(global,
		charts.WithXAxisOpts(opts.XAxis{Type: "category", AxisLabel: &opts.AxisLabel{Show: opts.Bool(true), Interval: "0"}}),
		charts.WithYAxisOpts(opts.YAxis{Type: "value", Name: c.unit, NameLocation: "middle", NameGap: 28, SplitNumber: 3}))...)
	slices.Reverse(c.names) // the axis goes upwards
	bar.SetXAxis(c.names)
	for i, name := range c.series {
		slices.Reverse(c.values[i])
		data := make([]opts.BarData, 0, len(c.names))
		for _, v := range c.values[i] {
			data = append(data, opts.BarData{Value: v})
		}
		o := opts.BarChart{BarCategoryGap: "25%"}
		if c.stacked {
			o.Stack = "all"
		}
		bar.AddSeries(name, data, charts.WithBarChartOpts(o),
			charts.WithLabelOpts(opts.Label{Show: opts.Bool(!c.stacked), Position: "right"}))
	}
	bar.XYReversal()
	snippet := bar.RenderSnippet()
	return template.HTML(snippet.Element + snippet.Script) //nolint:gosec // our own, and names as JSON
}

// lines draws how many of a hundred deliveries took no longer than a time.
func (c *chart) lines(global []charts.GlobalOpts) template.HTML {
	line := charts.NewLine()
	line.SetGlobalOptions(append(global,
		charts.WithXAxisOpts(opts.XAxis{Type: "value", Name: "percent of all", NameLocation: "middle", NameGap: 24, Max: 100, SplitNumber: 4}),
		charts.WithYAxisOpts(opts.YAxis{Type: "log", Name: c.unit, NameLocation: "end",
			AxisLabel: &opts.AxisLabel{Show: opts.Bool(true), Formatter: types.FuncStr(opts.FuncOpts("function (v) { return v.toLocaleString('en') }"))}}))...)
	for _, curve := range c.curves {
		data := make([]opts.LineData, 0, len(curve.Points))
		for _, q := range curve.Points {
			data = append(data, opts.LineData{Value: [2]float64{q.Percent, rounded(max(float64(q.NS), 100) / 1e6)}})
		}
		line.AddSeries(curve.Name, data, charts.WithLineChartOpts(opts.LineChart{ShowSymbol: opts.Bool(false)}))
	}
	snippet := line.RenderSnippet()
	return template.HTML(snippet.Element + snippet.Script) //nolint:gosec // our own, and names as JSON
}
