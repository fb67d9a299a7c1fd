// Package doctor says what limits a busbar on a host.
package doctor

import (
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/busbar-ws/busbar/hub"
	"github.com/busbar-ws/busbar/internal/cli"
)

// Server is what is to be known of the server that is meant to run.
type Server struct {
	Hub         hub.Options
	API, Data   string
	RowsFetched bool   // from a service, instead of being stored
	LogBytes    int    // of change events in memory
	LogFlag     string // that bounds them
	// Reserve is how many descriptors everything but the clients takes when there are so many, and so many open.
	Reserve func(open, descriptors int) int
}

// Examine writes what it finds about the host and so many connections to a server there; 0 is as many as it can hold, and
// no warnings for their number. It changes nothing. The error says that a server can't start.
func Examine(w io.Writer, s *Server, connections int) error {
	h := readHost(os.DirFS("/"))
	e := estimate(h, s)
	n := int64(connections)
	if n == 0 {
		n = e.connections()
	}
	listen, trusted := s.Hub.Loops.Listen, s.Hub.Loops.Accept.TrustedProxies
	findings := append(examine(h, s, n), examineDataDir(s.Data, h.locks),
		examinePort("-listen", listen, s.Data, h.locks), examinePort("-api", s.API, s.Data, h.locks))
	if len(trusted) > 0 {
		findings = append(findings, examineProxies(trusted, listen, n))
	}
	if connections == 0 {
		withoutNumber(findings)
	}
	if err := writeFindings(w, findings, e.sentence(int64(connections))); err != nil {
		return err
	}
	if failed := count(findings, fail); failed > 0 {
		return fmt.Errorf("doctor: a server can't start here: %s above", cli.Plural(failed, "FAIL", "FAILs"))
	}
	return nil
}

// verdict is how a finding turned out.
type verdict string

const (
	fine verdict = "OK"
	warn verdict = "WARN"
	fail verdict = "FAIL" // a server can't start
)

// finding is what doctor says about one thing: its name and value, what that means for
// a busbar, and the commands that would change it.
type finding struct {
	verdict verdict
	what    string
	meaning string
	fix     []string // none for what is fine
	// byNumber is set where it is the number of connections that makes it a warning.
	byNumber bool
}

// withoutNumber takes back the warnings for a number of connections, when nobody has named one.
func withoutNumber(findings []finding) {
	for i := range findings {
		if f := &findings[i]; f.byNumber && f.verdict == warn {
			f.verdict, f.fix = fine, nil
		}
	}
}

// writeFindings prints the findings and what they come to.
func writeFindings(w io.Writer, findings []finding, conclusion string) error {
	var errs []error
	line := func(format string, args ...any) {
		_, err := fmt.Fprintf(w, format+"\n", args...)
		errs = append(errs, err)
	}
	sysctl := false
	for _, f := range findings {
		line("%-5s %s", f.verdict, f.what)
		for _, text := range cli.Wrap(f.meaning, cli.HelpWidth-6) {
			line("      %s", text)
		}
		for _, command := range f.fix {
			line("        $ %s", command)
			sysctl = sysctl || isSysctl(command)
		}
	}
	line("")
	if sysctl {
		line("sysctl -w lasts until the next boot: put the settings into /etc/sysctl.d/90-busbar.conf too.")
	}
	line("%s, %s.", cli.Plural(count(findings, warn), "warning", "warnings"), cli.Plural(count(findings, fail), "failure", "failures"))
	for _, text := range cli.Wrap(conclusion, cli.HelpWidth) {
		line("%s", text)
	}
	return errors.Join(errs...)
}

func count(findings []finding, v verdict) int {
	n := 0
	for _, f := range findings {
		if f.verdict == v {
			n++
		}
	}
	return n
}
