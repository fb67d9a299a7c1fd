package main

import (
	"bytes"
	"fmt"
	"io"
	"strings"
)

// helpWidth is how many columns the help may take.
const helpWidth = 100

// WriteHelp writes the command's usage and its flags, group by group. Each flag has a
// line with its name, unit, default and variable, and below it what it means.
func (t *flagTable) WriteHelp(w io.Writer) error {
	var b bytes.Buffer
	b.WriteString(t.usage)
	group := ""
	for _, s := range t.settings {
		if s.group != group {
			group = s.group
			fmt.Fprintf(&b, "\n%s\n", group)
		}
		s.writeHelp(&b)
	}
	_, err := w.Write(b.Bytes())
	return err
}

// writeServeHelp is what "busbar -help" prints.
func writeServeHelp(w io.Writer) error {
	return newServeFlags(new(Config)).WriteHelp(w)
}

func (s *setting) writeHelp(b *bytes.Buffer) {
	name := strings.TrimSpace("-" + s.name + " " + s.unit)
	initial := ""
	if s.initial != "" {
		initial = "default " + s.initial
	}
	line := fmt.Sprintf("  %-36s %-24s %s", name, initial, s.env)
	b.WriteString(strings.TrimRight(line, " ") + "\n")
	const indent = "        "
	for _, line := range wrap(s.meaning, helpWidth-len(indent)) {
		b.WriteString(indent + line + "\n")
	}
}

// wrap breaks text at spaces into lines of at most width bytes. A longer word gets a
// line of its own.
func wrap(text string, width int) []string {
	var lines []string
	line := ""
	for word := range strings.FieldsSeq(text) {
		switch {
		case line == "":
			line = word
		case len(line)+1+len(word) <= width:
			line += " " + word
		default:
			lines, line = append(lines, line), word
		}
	}
	return append(lines, line)
}
