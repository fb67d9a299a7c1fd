package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
)

const doctorUsage = `Looks at this host and says what limits a busbar on it, and what would change that.

Usage: busbar doctor [-connections N] [the server's flags]

Give it what the server is given: it takes all flags of "busbar serve", and their variables. It
changes nothing. It exits with 1 if there is something that keeps a server from starting here
(FAIL), and with 0 otherwise: what is marked WARN costs connections, speed, or safety.
`

// doctor is the command of that name.
func doctor(args []string, s streams) error {
	var cfg Config
	connections := 0
	declareConnections := func(t *flagTable) {
		t.Group("Flags")
		t.Int(&connections, "connections", 0, 0, maxConnections,
			"connections that this host is meant to hold; 0 = as many as it can, and no warnings for their number")
	}
	t := newServeFlags(&cfg)
	t.command = "busbar doctor"
	declareConnections(t)
	err := cfg.parse(t, args, s.getenv)
	if errors.Is(err, flag.ErrHelp) {
		help := newFlagTable("busbar doctor", doctorUsage)
		declareConnections(help)
		return errors.Join(err, help.WriteHelp(s.out))
	}
	if err != nil {
		return err
	}
	h := readHost(os.DirFS("/"))
	e := estimate(h, &cfg)
	n := int64(connections)
	if n == 0 {
		n = e.connections()
	}
	findings := examine(h, &cfg, n)
	findings = append(findings, examineDataDir(cfg.Data, h.locks), examinePort("-listen", cfg.Hub.Loops.Listen, cfg.Data, h.locks),
		examinePort("-api", cfg.API, cfg.Data, h.locks))
	if len(cfg.Hub.Loops.Accept.TrustedProxies) > 0 {
		findings = append(findings, examineProxies(cfg.Hub.Loops.Accept.TrustedProxies, cfg.Hub.Loops.Listen, n))
	}
	if connections == 0 {
		withoutNumber(findings)
	}
	if err := writeFindings(s.out, findings, e.sentence(int64(connections))); err != nil {
		return err
	}
	if failed := count(findings, fail); failed > 0 {
		return fmt.Errorf("doctor: a server can't start here: %s above", plural(failed, "FAIL", "FAILs"))
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
		for _, text := range wrap(f.meaning, helpWidth-6) {
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
	line("%s, %s.", plural(count(findings, warn), "warning", "warnings"), plural(count(findings, fail), "failure", "failures"))
	for _, text := range wrap(conclusion, helpWidth) {
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

func plural(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}
