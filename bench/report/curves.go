package report

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// Curves is a chart of distributions by percentile. Both axes are logarithmic: the
// vertical one in the values, the horizontal one in what lies above the percentile, so
// that each further nine has the same room.
type Curves struct {
	Title  string
	Note   string
	Lines  []Line
	Format func(float64) string // a value as text
}

// Line is one distribution.
type Line struct {
	Name   string
	Points []Point // by rising Quantile
}

// Point says that so many percent of the values are At or less.
type Point struct {
	Quantile float64 // 0 to 100
	At       float64 // above 0; others are drawn as the lowest value
}

const plotHeight = 260.0

// frame is where a plot's corners are and what they stand for.
type frame struct {
	left, right, top, bottom float64
	low, high                float64 // values
	nines                    float64 // at the right edge: 3 is 99.9 %
}

func (f frame) x(quantile float64) float64 {
	above := max(1-quantile/100, math.Pow(10, -f.nines))
	return f.left - (f.right-f.left)*math.Log10(above)/f.nines
}

func (f frame) y(v float64) float64 {
	share := math.Log(max(v, f.low)/f.low) / math.Log(f.high/f.low)
	return f.bottom - (f.bottom-f.top)*share
}

func (l Curves) draw() *canvas {
	c := &canvas{title: l.Title}
	c.head(l.Title, l.Note)
	kind := func(i int) string { return fmt.Sprintf("kind%d", i%4) }
	if len(l.Lines) > 1 {
		names := make([]string, len(l.Lines))
		for i, line := range l.Lines {
			names[i] = line.Name
		}
		c.legend(names, kind)
	}
	f := l.frame(c.height)
	l.axes(c, f)
	for i, line := range l.Lines {
		l.line(c, f, line, kind(i))
	}
	c.height = f.bottom + 40
	return c
}

func (l Curves) frame(top float64) frame {
	f := frame{top: top, bottom: top + plotHeight, low: math.Inf(1), nines: 1}
	for _, line := range l.Lines {
		for _, p := range line.Points {
			if p.At > 0 {
				f.low, f.high = min(f.low, p.At), max(f.high, p.At)
			}
			if p.Quantile < 100 {
				f.nines = max(f.nines, -math.Log10(1-p.Quantile/100))
			}
		}
	}
	if f.high == 0 {
		f.low, f.high = 1, 10
	}
	f.nines += 0.4 // room for the highest value behind the last percentile
	f.low, f.high = f.low/1.2, f.high*1.2
	labels := 0.0
	for _, v := range ticks(f.low, f.high) {
		labels = max(labels, textWidth(l.Format(v), 12))
	}
	f.left, f.right = margin+labels+10, width-margin-20
	return f
}

// ticks are 1, 2 and 5 times powers of ten within a range, or the powers alone when there
// would be too many.
func ticks(low, high float64) []float64 {
	var found []float64
	for power := math.Floor(math.Log10(low)); power <= math.Log10(high); power++ {
		for _, n := range []float64{1, 2, 5} {
			v := n * math.Pow(10, power)
			if v >= low && v <= high && (n == 1 || high/low < 1000) {
				found = append(found, v)
			}
		}
	}
	return found
}

func (l Curves) axes(c *canvas, f frame) {
	for _, v := range ticks(f.low, f.high) {
		c.line("grid", f.left, f.y(v), f.right, f.y(v))
		c.text("soft", f.left-10, f.y(v)+4, "end", l.Format(v))
	}
	for _, q := range []float64{0, 50, 90, 99, 99.9, 99.99, 99.999, 99.9999} {
		if -math.Log10(1-q/100) > f.nines-0.35 {
			break
		}
		c.line("grid", f.x(q), f.top, f.x(q), f.bottom)
		c.text("soft", f.x(q), f.bottom+18, "middle", strconv.FormatFloat(q, 'f', -1, 64)+" %")
	}
	c.text("soft", f.right, f.bottom+18, "middle", "max")
	c.line("axis", f.left, f.bottom, f.right, f.bottom)
}

func (l Curves) line(c *canvas, f frame, line Line, class string) {
	points := make([]string, 0, len(line.Points))
	for _, p := range line.Points {
		points = append(points, px(f.x(p.Quantile))+","+px(f.y(p.At)))
	}
	fmt.Fprintf(&c.body, `<polyline class="curve %s" points="%s"/>`+"\n", class, strings.Join(points, " "))
	for _, p := range line.Points {
		if p.Quantile == 50 || p.Quantile == 99 || p.Quantile == 100 {
			fmt.Fprintf(&c.body, `<circle class="%s" cx="%s" cy="%s" r="3.5"/>`+"\n", class, px(f.x(p.Quantile)), px(f.y(p.At)))
			if len(l.Lines) == 1 {
				c.text("number", f.x(p.Quantile)-6, f.y(p.At)-8, "end", l.Format(p.At))
			}
		}
	}
}
