package bench

import (
	_ "embed"
	"fmt"
	"html/template"
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/go-echarts/go-echarts/v2/charts"
	"github.com/go-echarts/go-echarts/v2/opts"
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

// picture is a chart: an element and the script that fills it. Its title says the unit, and the axes
// have no names, which would need room of their own.
type picture struct {
	Title string
	Chart template.HTML
}

// WriteHTML writes everything as one page. Its tables are plain HTML; the script that draws its
// charts is loaded from the network.
func (d *Document) WriteHTML(w io.Writer) error {
	var shown []page
	for i, s := range d.Sections {
		shown = append(shown, page{Section: s, Tables: s.Tables(), Charts: s.charts(i), Notes: s.notes()})
	}
	return pageTemplate.Execute(w, map[string]any{"Document": d, "Sections": shown})
}

// charts are what the figures of the document's section with a number look like.
func (s *Section) charts(number int) (all []picture) {
	add := func(title string, draw func(id string) template.HTML) {
		if chart := draw(fmt.Sprintf("chart%d_%d", number, len(all))); chart != "" {
			all = append(all, picture{title, chart})
		}
	}
	bars := func(title string, scale float64, stack string, figures ...string) {
		add(title, func(id string) template.HTML { return s.bars(id, scale, stack, figures) })
	}
	if s.versus() && s.columns()[0] == connectionColumns[0] {
		bars("Resident memory of the server per connection, KiB", 1024, "", "user_memory_per_connection")
		bars("CPU per handshake, µs", 1e3, "", "cpu_per_handshake")
		return all
	}
	if s.versus() {
		bars("CPU per delivery, divided by that of "+s.Base, 0, "", "cpu_per_delivery")
		bars("Latency of delivery, ms", 1e6, "", "delivery_p50", "delivery_p99", "delivery_max")
	}
	bars("CPU per delivery, µs", 1e3, "all", "user_cpu_per_delivery", "kernel_cpu_per_delivery", "ksoftirqd_cpu_per_delivery")
	if !s.versus() {
		add("Latency, ms: so many percent took this long or less", s.curves)
	}
	return all
}

// chartOptions are those of all charts.
func chartOptions(id string, height, series int, x opts.XAxis, y opts.YAxis) []charts.GlobalOpts {
	return []charts.GlobalOpts{
		charts.WithInitializationOpts(opts.Initialization{ChartID: id, Width: "100%", Height: fmt.Sprint(height, "px")}),
		charts.WithLegendOpts(opts.Legend{Show: opts.Bool(series > 1), Bottom: "0", Type: "scroll"}),
		charts.WithTooltipOpts(opts.Tooltip{Show: opts.Bool(true), Trigger: "axis"}),
		charts.WithGridOpts(opts.Grid{Left: "8", Right: "56", Top: "12", Bottom: "40", ContainLabel: opts.Bool(true)}),
		charts.WithXAxisOpts(x), charts.WithYAxisOpts(y),
	}
}

// withThousands writes an axis' numbers with separators.
var withThousands = &opts.AxisLabel{Show: opts.Bool(true), Formatter: opts.FuncOpts("function (v) { return v.toLocaleString('en') }")}

// bars has a bar for each result that has the first of some figures, the cheapest at the top, and a
// series for each figure. With a scale of 0 they are ratios to the base.
func (s *Section) bars(id string, scale float64, stack string, figures []string) template.HTML {
	by := figures[0]
	if strings.HasSuffix(by, "cpu_per_delivery") {
		by = "cpu_per_delivery"
	}
	var names []string
	data := make([][]opts.BarData, len(figures))
	for _, r := range slices.Backward(s.ascending(by)) { // the axis goes upwards
		if f := r.Figure(figures[0]); len(f.Values) == 0 || scale == 0 && f.Ratio == nil {
			continue
		}
		names = append(names, r.Name)
		for i, name := range figures {
			f := r.Figure(name)
			v := f.Median / scale
			if scale == 0 {
				v = f.Ratio.Median
			}
			data[i] = append(data[i], opts.BarData{Value: rounded(v)})
		}
	}
	if len(names) == 0 {
		return ""
	}
	height := max(30, 20*len(figures))
	if stack != "" {
		height = 30
	}
	bar := charts.NewBar()
	bar.SetGlobalOptions(chartOptions(id, 90+len(names)*height, len(figures),
		opts.XAxis{Type: "value", SplitNumber: 3, AxisLabel: withThousands}, opts.YAxis{Type: "category", Data: names})...)
	for i, name := range figures {
		label := strings.TrimPrefix(strings.TrimSuffix(title(name), " CPU per delivery"), "delivery ")
		bar.AddSeries(label, data[i], charts.WithBarChartOpts(opts.BarChart{BarCategoryGap: "25%", Stack: stack}),
			charts.WithLabelOpts(opts.Label{Show: opts.Bool(stack == ""), Position: "right"}))
	}
	snippet := bar.RenderSnippet()
	return template.HTML(snippet.Element + snippet.Script) //nolint:gosec // our own, and names as JSON
}

// curves are how long so many percent of all took, or less.
func (s *Section) curves(id string) template.HTML {
	line, n := charts.NewLine(), 0
	for _, r := range s.Results {
		for _, curve := range r.Curves {
			name := title(curve.Name)
			if len(s.Results) > 1 {
				name += ", " + r.Name
			}
			var data []opts.LineData
			for _, q := range curve.Points {
				data = append(data, opts.LineData{Value: [2]float64{q.Percent, rounded(max(float64(q.NS), 100) / 1e6)}})
			}
			line.AddSeries(name, data, charts.WithLineChartOpts(opts.LineChart{ShowSymbol: opts.Bool(false)}))
			n++
		}
	}
	if n == 0 {
		return ""
	}
	line.SetGlobalOptions(chartOptions(id, 340, n,
		opts.XAxis{Type: "value", Max: 100, SplitNumber: 4}, opts.YAxis{Type: "log", AxisLabel: withThousands})...)
	snippet := line.RenderSnippet()
	return template.HTML(snippet.Element + snippet.Script) //nolint:gosec // our own, and names as JSON
}

// rounded has the digits that people read.
func rounded(v float64) float64 {
	r, _ := strconv.ParseFloat(strconv.FormatFloat(v, 'g', 3, 64), 64)
	return r
}
