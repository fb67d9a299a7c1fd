package cli

import (
	"bytes"
	"fmt"
	"io"
	"strings"
)

// WriteMan writes the man page of a program: its own table first, those of its commands behind it (man(7)).
func WriteMan(w io.Writer, name, summary, version string, tables []*Set) error {
	var b bytes.Buffer
	fmt.Fprintf(&b, ".TH %s 1 \"\" \"%s %s\" \"User Commands\"\n.nh\n.ad l\n", strings.ToUpper(name), name, roff(version))
	fmt.Fprintf(&b, ".SH NAME\n%s \\- %s\n", name, roff(summary))
	for i, t := range tables {
		switch i {
		case 0:
			b.WriteString(".SH DESCRIPTION\n")
		case 1:
			b.WriteString(".SH COMMANDS\n")
			fallthrough
		default:
			fmt.Fprintf(&b, ".SS %s\n", roff(t.Command))
		}
		manText(&b, t.Usage)
		manFlags(&b, t, i == 0)
	}
	b.WriteString(".SH EXIT STATUS\n0 when all went well, 2 when a flag, a value or a command is wrong, and 1 when something couldn't be done.\n")
	_, err := w.Write(b.Bytes())
	return err
}

// manText is a usage's text: what is laid out in columns stays so.
func manText(b *bytes.Buffer, usage string) {
	for block := range strings.SplitSeq(strings.TrimSpace(usage), "\n\n") {
		lines := strings.Split(block, "\n")
		if strings.HasPrefix(block, "Usage:") || strings.Contains("\n"+block, "\n ") {
			fmt.Fprintf(b, ".PP\n.nf\n%s\n.fi\n", roff(block))
		} else {
			fmt.Fprintf(b, ".PP\n%s\n", roff(strings.Join(lines, "\n")))
		}
	}
}

// manFlags lists a table's flags, group by group; sections is whether each group is a section of its own.
func manFlags(b *bytes.Buffer, t *Set, sections bool) {
	group := ""
	for _, f := range t.Flags {
		if f.Group != group && sections {
			fmt.Fprintf(b, ".SH %s\n", roff(strings.ToUpper(f.Group)))
		}
		group = f.Group
		fmt.Fprintf(b, ".TP\n\\fB%s\\fR", roff("-"+f.Name))
		if f.Unit != "" {
			fmt.Fprintf(b, " \\fI%s\\fR", roff(f.Unit))
		}
		fmt.Fprintf(b, "\n%s.", roff(f.Meaning))
		if f.Default != "" {
			fmt.Fprintf(b, " The default is %s.", roff(f.Default))
		}
		if f.Env != "" {
			fmt.Fprintf(b, " The variable is %s.", roff(f.Env))
		}
		b.WriteString("\n")
	}
}

// roff is text that the formatter takes as it is. A minus is one, and not a hyphen, so that it can be copied and searched.
func roff(text string) string {
	text = strings.NewReplacer(`\`, `\e`, "-", `\-`).Replace(text)
	lines := strings.Split(text, "\n")
	for i, line := range lines {
		if strings.HasPrefix(line, ".") || strings.HasPrefix(line, "'") {
			lines[i] = `\&` + line
		}
	}
	return strings.Join(lines, "\n")
}
