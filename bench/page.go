package bench

import (
	_ "embed"
	"fmt"
	"html/template"
	"io"
	"slices"
	"strings"

	"github.com/go-echarts/go-echarts/v2/charts"
	"github.com/go-echarts/go-echarts/v2/opts"
	"github.com/go-echarts/go-echarts/v2/render"
)

//go:embed page.html
var pageText string

var pageTemplate = template.Must(template.New("page").Parse(pageText))

// page is what the template shows of a section.
type page struct {
	*Section
	Tables []Table
	Charts []picture
	Notes  []string
}

type picture struct {
	Title string
	Chart template.HTML
}

// WriteHTML writes everything as one page. Its tables are plain HTML; the script that draws its
// charts is loaded from the network.
func (d *Document) WriteHTML(w io.Writer) error {
	var shown []page
	for _, s := range d.Sections {
		p := page{Section: s, Tables: s.Tables(), Notes: s.notes()}
		for i, c := range s.charts() {
			p.Charts = append(p.Charts, picture{c.title, c.draw(fmt.Sprintf("chart%d_%d", len(shown), i))})
		}
		shown = append(shown, p)
	}
	return pageTemplate.Execute(w, map[string]any{"Document": d, "Sections": shown})
}

// chart is bars for each of some names, or curves. Its title says the unit, so that labels are short.
type chart struct {
	title   string
	names   []string // of the bars, the first at the top
	series  []string
	values  [][]float64 // by series and name
	stacked bool
	curves  []Curve
}

// charts are what a section's figures look like.
func (s *Section) charts() (all []chart) {
	split := s.bars("CPU per delivery, µs", 1e3, false, "user_cpu_per_delivery", "kernel_cpu_per_delivery", "ksoftirqd_cpu_per_delivery")
	split.stacked = true
	switch {
	case s.versus() && s.columns()[0] == connectionColumns[0]:
		all = []chart{
			s.bars("Resident memory of the server per connection, KiB", 1024, false, "user_memory_per_connection"),
			s.bars("CPU per handshake, µs", 1e3, false, "cpu_per_handshake"),
		}
	case s.versus():
		all = []chart{
			s.bars("CPU per delivery, divided by that of "+s.Base, 1, true, "cpu_per_delivery"),
			s.bars("Latency of delivery, ms", 1e6, false, "delivery_p50", "delivery_p99", "delivery_max"), split,
		}
	default:
		all = []chart{split, s.curves()}
	}
	return slices.DeleteFunc(all, func(c chart) bool { return len(c.names)+len(c.curves) == 0 })
}

func (s *Section) curves() chart {
	c := chart{title: "Latency, ms: so many percent took this long or less"}
	for _, r := range s.Results {
		for _, curve := range r.Curves {
			curve.Name = title(curve.Name)
			if len(s.Results) > 1 {
				curve.Name += ", " + r.Name
			}
			c.curves = append(c.curves, curve)
		}
	}
	return c
}

// bars has a bar for each result that has the first of some figures, and a series for each figure.
func (s *Section) bars(name string, scale float64, ratio bool, figures ...string) chart {
	c := chart{title: name, values: make([][]float64, len(figures))}
	for _, f := range figures {
		c.series = append(c.series, strings.TrimPrefix(strings.TrimSuffix(title(f), " CPU per delivery"), "delivery "))
	}
	by := figures[0]
	if strings.HasSuffix(by, "cpu_per_delivery") {
		by = "cpu_per_delivery"
	}
	for _, r := range s.ascending(by) {
		if f := r.Figure(figures[0]); len(f.Values) == 0 || ratio && f.Ratio == nil {
			continue
		}
		c.names = append(c.names, r.Name)
		for i, name := range figures {
			v := r.Figure(name).Median / scale
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

// draw gives the chart's element and the script that fills it. Its title stands in the page, and the
// axes have no names, which would need room of their own.
func (c *chart) draw(id string) template.HTML {
	height := 90 + len(c.names)*max(30, 20*len(c.series))
	switch {
	case len(c.curves) > 0:
		height = 340
	case c.stacked:
		height = 90 + len(c.names)*30
	}
	global := []charts.GlobalOpts{
		charts.WithInitializationOpts(opts.Initialization{ChartID: id, Width: "100%", Height: fmt.Sprint(height, "px")}),
		charts.WithLegendOpts(opts.Legend{Show: opts.Bool(len(c.series)+len(c.curves) > 1), Bottom: "0", Type: "scroll"}),
		charts.WithTooltipOpts(opts.Tooltip{Show: opts.Bool(true), Trigger: "axis"}),
		charts.WithGridOpts(opts.Grid{Left: "8", Right: "56", Top: "12", Bottom: "40", ContainLabel: opts.Bool(true)}),
	}
	var snippet render.ChartSnippet
	if len(c.curves) > 0 {
		snippet = c.lines(global)
	} else {
		snippet = c.horizontal(global)
	}
	return template.HTML(snippet.Element + snippet.Script) //nolint:gosec // our own, and names as JSON
}

// thousandsScript writes an axis' numbers with separators.
const thousandsScript = "function (v) { return v.toLocaleString('en') }"

func (c *chart) horizontal(global []charts.GlobalOpts) render.ChartSnippet {
	bar := charts.NewBar()
	slices.Reverse(c.names) // the axis goes upwards
	bar.SetGlobalOptions(append(global,
		charts.WithXAxisOpts(opts.XAxis{Type: "value", SplitNumber: 3,
			AxisLabel: &opts.AxisLabel{Show: opts.Bool(true), Formatter: opts.FuncOpts(thousandsScript)}}),
		charts.WithYAxisOpts(opts.YAxis{Type: "category", Data: c.names}))...)
	for i, name := range c.series {
		slices.Reverse(c.values[i])
		var data []opts.BarData
		for _, v := range c.values[i] {
			data = append(data, opts.BarData{Value: v})
		}
		o := opts.BarChart{BarCategoryGap: "25%"}
		if c.stacked {
			o.Stack = "all"
		}
		bar.AddSeries(name, data, charts.WithBarChartOpts(o), charts.WithLabelOpts(opts.Label{Show: opts.Bool(!c.stacked), Position: "right"}))
	}
	return bar.RenderSnippet()
}

// lines draws how long so many percent of all took, or less.
func (c *chart) lines(global []charts.GlobalOpts) render.ChartSnippet {
	line := charts.NewLine()
	line.SetGlobalOptions(append(global,
		charts.WithXAxisOpts(opts.XAxis{Type: "value", Max: 100, SplitNumber: 4}),
		charts.WithYAxisOpts(opts.YAxis{Type: "log",
			AxisLabel: &opts.AxisLabel{Show: opts.Bool(true), Formatter: opts.FuncOpts(thousandsScript)}}))...)
	for _, curve := range c.curves {
		var data []opts.LineData
		for _, q := range curve.Points {
			data = append(data, opts.LineData{Value: [2]float64{q.Percent, rounded(max(float64(q.NS), 100) / 1e6)}})
		}
		line.AddSeries(curve.Name, data, charts.WithLineChartOpts(opts.LineChart{ShowSymbol: opts.Bool(false)}))
	}
	return line.RenderSnippet()
}
