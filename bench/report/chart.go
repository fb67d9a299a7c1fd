package report

import (
	_ "embed"
	"fmt"
	"os"
)

// Chart is a picture: Bars or Curves.
type Chart interface{ draw() *canvas }

// style is that of charts, alone and in a page.
//
//go:embed chart.css
var style string

// SVG is a chart as a file of its own, for use as an image.
func SVG(c Chart) string { return c.draw().svg(true) }

// WriteSVG writes that file.
func WriteSVG(path string, c Chart) error {
	if err := os.WriteFile(path, []byte(SVG(c)), 0o644); err != nil {
		return fmt.Errorf("writing a chart: %w", err)
	}
	return nil
}
