package report

import (
	"strings"
	"unicode/utf8"
)

// textWidth is how wide a text may become, in px, in whatever sans-serif font the reader
// has: nobody lays out text here, so it is rather too much than too little.
func textWidth(text string, size float64) float64 {
	return float64(utf8.RuneCountInString(text)) * size * 0.58
}

// wrap breaks a text into lines that are not wider than so many px.
func wrap(text string, room, size float64) []string {
	var lines []string
	line := ""
	for word := range strings.FieldsSeq(text) {
		switch {
		case line == "":
			line = word
		case textWidth(line+" "+word, size) > room:
			lines = append(lines, line)
			line = word
		default:
			line += " " + word
		}
	}
	if line != "" {
		lines = append(lines, line)
	}
	return lines
}
