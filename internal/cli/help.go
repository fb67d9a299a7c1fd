package cli

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"syscall"
)

// HelpWidth is how many columns the help may take.
const HelpWidth = 100

// WriteHelp writes the usage and the flags, group by group. Each flag has a line with its name, unit, default and
// variable, and below it what it means.
func (s *Set) WriteHelp(w io.Writer) error {
	var b bytes.Buffer
	b.WriteString(s.Usage)
	group := ""
	for _, f := range s.Flags {
		if f.Group != group {
			group = f.Group
			fmt.Fprintf(&b, "\n%s\n", group)
		}
		initial := ""
		if f.Default != "" {
			initial = "default " + f.Default
		}
		line := fmt.Sprintf("  %-36s %-24s %s", strings.TrimSpace("-"+f.Name+" "+f.Unit), initial, f.Env)
		b.WriteString(strings.TrimRight(line, " ") + "\n")
		const indent = "        "
		for _, line := range Wrap(f.meaning(), HelpWidth-len(indent)) {
			b.WriteString(indent + line + "\n")
		}
	}
	_, err := w.Write(b.Bytes())
	return err
}

// WriteMarkdown is WriteHelp as tables, a group each, for the documentation.
func (s *Set) WriteMarkdown(w io.Writer) error {
	var b bytes.Buffer
	cell := strings.NewReplacer("|", `\|`, "<", "&lt;")
	code := func(text string) string {
		if text == "" {
			return ""
		}
		return "`" + strings.ReplaceAll(text, "|", `\|`) + "`"
	}
	group := ""
	for _, f := range s.Flags {
		if f.Group != group {
			group = f.Group
			fmt.Fprintf(&b, "\n## %s\n\n| flag | default | variable | meaning |\n| --- | --- | --- | --- |\n", group)
		}
		name := strings.TrimSpace("-" + f.Name + " " + f.Unit)
		fmt.Fprintf(&b, "| %s | %s | %s | %s |\n", code(name), code(f.Default), code(f.Env), cell.Replace(f.meaning()))
	}
	_, err := w.Write(b.Bytes())
	return err
}

// WriteValues writes what is in force, as a file that ParseFile takes but for secrets, with where each value is from.
// Defaults are comments, so that the file gives nobody what he didn't set, and so is what named holds, the flag that names
// the file.
func (s *Set) WriteValues(w io.Writer, named *Flag) error {
	var b bytes.Buffer
	for _, f := range s.Flags {
		if f.Env == "" {
			continue
		}
		from := f.Given
		if from == "" {
			from = "default"
		}
		value := f.masked(f.Show())
		if value == "" && f.Given == "" {
			fmt.Fprintf(&b, "# %s is empty\n", f.Name)
			continue
		}
		line := f.Name + " = " + value
		if f == named || f.Given == "" {
			line = "# " + line
		}
		fmt.Fprintf(&b, "%-44s # %s\n", line, from)
	}
	_, err := w.Write(b.Bytes())
	return err
}

// Wrap breaks text at spaces into lines of at most width bytes. A longer word gets a line of its own.
func Wrap(text string, width int) []string {
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

// Plural is a number and what there are so many of.
func Plural(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}

// Errno is the error number in what net or os say around it, or else err.
func Errno(err error) error {
	var errno syscall.Errno
	if errors.As(err, &errno) {
		return errno
	}
	return err
}
