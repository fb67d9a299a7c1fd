package doctor

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/busbar-ws/busbar/eventloop"
	"github.com/busbar-ws/busbar/internal/cli"
)

// Report is what Examine found. It is immutable, and JSON in the form that docs/protocol.md section 7 promises.
type Report struct {
	Asked        int64     `json:"asked"`          // -connections; 0 when no number was named
	Connections  int64     `json:"connections"`    // that a server here holds; 0 when unknown
	RunsOutFirst string    `json:"runs_out_first"` // the name of the first of Limits
	Limits       []limit   `json:"limits"`         // the lowest first
	Bytes        bytesEach `json:"bytes_per_connection"`
	Warnings     int       `json:"warnings"`
	Failures     int       `json:"failures"` // of findings that keep a server from starting
	Findings     []finding `json:"findings"`

	capacity eventloop.Capacity
}

// verdict is how a finding turned out.
type verdict string

const (
	fine verdict = "OK"
	warn verdict = "WARN"
	fail verdict = "FAIL" // a server can't start
)

// finding is what doctor says about one thing: its name and value, what that means for a busbar, and the commands that
// would change it: none for what is fine.
type finding struct {
	Verdict verdict  `json:"verdict"`
	Name    string   `json:"name"`
	Value   string   `json:"value"`
	Meaning string   `json:"meaning"`
	Fix     []string `json:"fix,omitempty"`

	byNumber bool     // it is the number of connections that makes it a warning
	sysctls  []string // of Fix, as sysctl.d(5) has them
	unit     []string // of Fix, as a systemd unit's [Service] has them
	others   []string // of Fix, what helps with the number of connections and is neither
}

// tooFew makes f a warning that is for the number of connections.
func (f *finding) tooFew(meaning string, fix ...string) {
	f.Verdict, f.byNumber = warn, true
	f.Meaning += meaning
	f.Fix, f.others = append(f.Fix, fix...), append(f.others, fix...)
}

// bySysctl says which setting would do.
func (f *finding) bySysctl(name string, values ...int64) {
	value := strings.Trim(fmt.Sprint(values), "[]")
	f.sysctls = append(f.sysctls, name+" = "+value)
	if len(values) > 1 {
		value = `"` + value + `"`
	}
	f.Fix = append(f.Fix, "sysctl -w "+name+"="+value)
}

// byUnit says which line of the server's unit would do.
func (f *finding) byUnit(line string) {
	f.unit = append(f.unit, line)
	f.Fix = append(f.Fix, "systemctl edit busbar   # [Service] "+line)
}

// title is a finding's line in the text.
func (f *finding) title() string {
	if strings.Contains(f.Name, ".") { // a sysctl
		return f.Name + " = " + f.Value
	}
	return f.Name + " " + f.Value
}

// WriteJSON writes the report as one object.
func (r *Report) WriteJSON(w io.Writer) error {
	out := json.NewEncoder(w)
	out.SetIndent("", "  ")
	out.SetEscapeHTML(false)
	return out.Encode(r)
}

// WriteText writes the report for people.
func (r *Report) WriteText(w io.Writer) error {
	p := printer{w: w}
	sysctl := false
	for _, f := range r.Findings {
		p.line("%-5s %s", f.Verdict, f.title())
		p.wrapped("      ", f.Meaning)
		for _, command := range f.Fix {
			p.line("        $ %s", command)
		}
		sysctl = sysctl || len(f.sysctls) > 0
	}
	p.line("")
	if sysctl {
		p.line("sysctl -w lasts until the next boot: what -fix-print prints goes into /etc/sysctl.d.")
	}
	p.line("%s, %s.", cli.Plural(r.Warnings, "warning", "warnings"), cli.Plural(r.Failures, "failure", "failures"))
	p.wrapped("", r.conclusion())
	return p.err
}

// conclusion is what it comes to.
func (r *Report) conclusion() string {
	var text strings.Builder
	if r.capacity.Connections > 0 {
		fmt.Fprintf(&text, "A server here takes up to %d connections: limited by %s. ", r.capacity.Connections, r.capacity.LimitedBy)
	}
	if len(r.Limits) > 0 {
		fmt.Fprintf(&text, "This host holds about %d. What runs out first is %s", r.Connections, r.RunsOutFirst)
		for _, l := range r.Limits[1:] {
			fmt.Fprintf(&text, "; %s at %d", l.Name, l.Connections)
		}
		text.WriteString(". ")
	}
	fmt.Fprintf(&text, "A connection takes %d bytes in user space and %d in the kernel, and %d more there while data is under way "+
		"in both directions.", r.Bytes.User, r.Bytes.Kernel, r.Bytes.UnderWay)
	switch {
	case r.Asked > r.Connections:
		fmt.Fprintf(&text, " That is less than %d (-connections).", r.Asked)
	case r.Asked > 0:
		fmt.Fprintf(&text, " That is enough for %d (-connections).", r.Asked)
	}
	return text.String()
}

// WriteFix writes what the host and the server's unit would have to be set to, as files take it, and what no setting of
// theirs changes, as comments.
func (r *Report) WriteFix(w io.Writer) error {
	p := printer{w: w}
	var sysctls, unit []string
	var others []finding
	for _, f := range r.Findings {
		sysctls, unit = append(sysctls, f.sysctls...), append(unit, f.unit...)
		if len(f.others) > 0 {
			others = append(others, f)
		}
	}
	p.file("/etc/sysctl.d/90-busbar.conf   (then: sysctl --system)", sysctls)
	if len(unit) > 0 {
		unit = append([]string{"[Service]"}, unit...)
	}
	p.file("/etc/systemd/system/busbar.service.d/90-limits.conf   (then: systemctl daemon-reload)", unit)
	for _, f := range others {
		p.line("# %s", f.title())
		p.wrapped("#   ", f.Meaning)
		for _, command := range f.others {
			p.line("#   $ %s", command)
		}
	}
	return p.err
}

// printer writes lines and remembers what failed.
type printer struct {
	w   io.Writer
	err error
}

func (p *printer) line(format string, args ...any) {
	_, err := fmt.Fprintf(p.w, format+"\n", args...)
	p.err = errors.Join(p.err, err)
}

func (p *printer) wrapped(indent, text string) {
	for _, line := range cli.Wrap(text, cli.HelpWidth-len(indent)) {
		p.line("%s%s", indent, line)
	}
}

func (p *printer) file(name string, lines []string) {
	p.line("# %s", name)
	if len(lines) == 0 {
		lines = []string{"# nothing: what there is suffices"}
	}
	p.line("%s\n", strings.Join(lines, "\n"))
}
