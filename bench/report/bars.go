package report

// Bars is a chart of horizontal bars, each with its number beside it. They start at zero
// and share one linear scale.
type Bars struct {
	Title string
	Note  string // under the title: what is shown, of what
	// Series names what each row has one bar of. With one series its name isn't shown.
	Series []string
	Rows   []Row
	// Stacked puts a row's bars behind each other in place of below each other. Whiskers
	// aren't drawn then, and the number is the row's Total.
	Stacked bool
	Line    float64 // a line across all rows at this value, such as 1 for ratios; 0: none
}

// Row is what one target shows.
type Row struct {
	Label string
	Rank  Rank
	// Values are one for each series, in its order. None: Total stands in place of bars.
	Values []Value
	Total  string // of stacked bars
}

// Rank says how a row stands out where there is one series.
type Rank string

// The ranks.
const (
	Other    Rank = ""     // one of those that are compared to
	Own      Rank = "own"  // what it is all about
	Baseline Rank = "base" // what the others are divided by
)

// Value is one bar. It has a whisker when Low is below High.
type Value struct {
	At        float64 // not below 0
	Low, High float64 // lowest and highest round
	Text      string  // the number beside it
	Detail    string  // more beside it, less prominent
}

const (
	width     = 760.0 // of every chart, in px
	margin    = 16.0
	thickness = 14.0 // of a bar
	between   = 4.0  // bars of a row
	apart     = 12.0 // rows
)

func (b Bars) draw() *canvas {
	c := &canvas{title: b.Title}
	c.head(b.Title, b.Note)
	if len(b.Series) > 1 {
		c.legend(b.Series, b.class)
	}
	s := b.layout()
	top, bottom := c.height-apart/2, c.height-apart/2
	for _, row := range b.Rows {
		bottom += b.tall(row) + apart
	}
	if b.Line > 0 && b.Line <= s.most {
		c.line("mark", s.x(b.Line), top, s.x(b.Line), bottom) // first, so that it lies behind numbers
	}
	for _, row := range b.Rows {
		b.row(c, s, row)
	}
	c.line("axis", s.left, top, s.left, bottom)
	return c
}

// tall is how high a row is, in px.
func (b Bars) tall(row Row) float64 {
	bars := float64(max(1, len(row.Values)))
	if b.Stacked {
		bars = 1
	}
	return bars*thickness + (bars-1)*between
}

// scale is where bars begin, and how long they are.
type scale struct{ left, right, most float64 }

func (s scale) x(v float64) float64 { return s.left + (s.right-s.left)*v/s.most }

// layout leaves room for the longest label on the left and the longest number on the
// right.
func (b Bars) layout() scale {
	labels, numbers, most := 0.0, 0.0, 0.0
	for _, row := range b.Rows {
		labels = max(labels, textWidth(row.Label, 13))
		numbers = max(numbers, textWidth(row.Total, 13))
		sum := 0.0
		for _, v := range row.Values {
			most = max(most, v.At, v.High)
			sum += v.At
			numbers = max(numbers, textWidth(v.Text, 13)+textWidth("  "+v.Detail, 12))
		}
		if b.Stacked {
			most = max(most, sum)
		}
	}
	if most == 0 {
		most = 1
	}
	return scale{left: margin + labels + 10, right: width - margin - numbers - 10, most: most}
}

func (b Bars) row(c *canvas, s scale, row Row) {
	tall := b.tall(row)
	c.text("label "+string(row.Rank), s.left-10, c.height+tall/2+4.5, "end", row.Label)
	switch {
	case len(row.Values) == 0:
		c.text("soft", s.left+8, c.height+tall/2+4.5, "", row.Total)
	case b.Stacked:
		b.stack(c, s, row)
	default:
		for i, v := range row.Values {
			b.bar(c, s, c.height+float64(i)*(thickness+between), b.class(i)+" "+string(row.Rank), row.Label, v)
		}
	}
	c.height += tall + apart
}

func (b Bars) stack(c *canvas, s scale, row Row) {
	from := 0.0
	for i, v := range row.Values {
		c.rect("bar "+b.class(i), s.x(from), c.height, s.x(from+v.At)-s.x(from), thickness, row.Label+", "+b.Series[i]+": "+v.Text)
		from += v.At
	}
	c.text("number", s.x(from)+8, c.height+thickness/2+4.5, "", row.Total)
}

func (b Bars) bar(c *canvas, s scale, y float64, class, label string, v Value) {
	c.rect("bar "+class, s.left, y, s.x(v.At)-s.left, thickness, label+": "+v.Text+" "+v.Detail)
	if v.Low < v.High {
		middle := y + thickness/2
		c.line("whisker", s.x(v.Low), middle, s.x(v.High), middle)
		for _, end := range []float64{v.Low, v.High} {
			c.line("whisker", s.x(end), middle-4, s.x(end), middle+4)
		}
	}
	c.number(s.x(max(v.At, v.High))+8, y+thickness/2+4.5, v.Text, v.Detail)
}

// class is how a series is painted: kinds when they are parts of a whole, steps of one
// colour when they are grades of the same thing, such as percentiles.
func (b Bars) class(series int) string {
	names := []string{"step0", "step1", "step2"}
	if b.Stacked {
		names = []string{"kind0", "kind1", "kind2", "kind3"}
	}
	if len(b.Series) < 2 {
		return "single"
	}
	return names[series%len(names)]
}
