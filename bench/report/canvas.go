package report

import (
	"encoding/xml"
	"fmt"
	"strconv"
	"strings"
)

// canvas is an SVG under construction: what is drawn, and how tall it is so far.
type canvas struct {
	title  string
	body   strings.Builder
	height float64
}

// px is a coordinate with a tenth of a pixel.
func px(v float64) string { return strconv.FormatFloat(v, 'f', 1, 64) }

func escape(text string) string {
	var b strings.Builder
	_ = xml.EscapeText(&b, []byte(text)) // a strings.Builder takes everything
	return b.String()
}

// rect has a tooltip where the picture is inside of a page.
func (c *canvas) rect(class string, x, y, w, h float64, tip string) {
	fmt.Fprintf(&c.body, `<rect class="%s" x="%s" y="%s" width="%s" height="%s" rx="2"><title>%s</title></rect>`+"\n",
		strings.TrimSpace(class), px(x), px(y), px(max(w, 1)), px(h), escape(strings.TrimSpace(tip)))
}

func (c *canvas) line(class string, x1, y1, x2, y2 float64) {
	fmt.Fprintf(&c.body, `<line class="%s" x1="%s" y1="%s" x2="%s" y2="%s"/>`+"\n", class, px(x1), px(y1), px(x2), px(y2))
}

// text is anchored at its start, or at its "middle" or "end".
func (c *canvas) text(class string, x, y float64, anchor, text string) {
	if anchor == "" {
		anchor = "start"
	}
	fmt.Fprintf(&c.body, `<text class="%s" x="%s" y="%s" text-anchor="%s">%s</text>`+"\n",
		strings.TrimSpace(class), px(x), px(y), anchor, escape(text))
}

// number is a figure with something less prominent behind it.
func (c *canvas) number(x, y float64, text, detail string) {
	if detail != "" {
		detail = `<tspan class="soft" dx="6">` + escape(detail) + `</tspan>`
	}
	fmt.Fprintf(&c.body, `<text class="number" x="%s" y="%s">%s%s</text>`+"\n", px(x), px(y), escape(text), detail)
}

// head writes the title and, in as many lines as it needs, the note.
func (c *canvas) head(title, note string) {
	c.height = margin + 14
	c.text("title", margin, c.height, "", title)
	for _, line := range wrap(note, width-2*margin, 12) {
		c.height += 18
		c.text("soft", margin, c.height, "", line)
	}
	c.height += 20
}

// legend names the series; class says how each is painted.
func (c *canvas) legend(series []string, class func(int) string) {
	x := margin
	for i, name := range series {
		c.rect("key "+class(i), x, c.height-6, 12, 12, name)
		c.text("soft", x+18, c.height+4, "", name)
		x += 18 + textWidth(name, 12) + 18
	}
	c.height += 24
}

// svg is the whole picture. Alone, it brings its own style and ground: an image in a page
// that is light while its reader's setting is dark must be readable nevertheless.
func (c *canvas) svg(alone bool) string {
	var b strings.Builder
	tall := px(c.height + margin/2)
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" class="chart" viewBox="0 0 %s %s" width="%s" height="%s" role="img" aria-label="%s">`+"\n",
		px(width), tall, px(width), tall, escape(c.title))
	if alone {
		fmt.Fprintf(&b, "<style>\n%s</style>\n"+`<rect class="ground" width="%s" height="%s" rx="6"/>`+"\n", style, px(width), tall)
	}
	b.WriteString(c.body.String())
	b.WriteString("</svg>\n")
	return b.String()
}
