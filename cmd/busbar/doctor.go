package main

import (
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
)

const doctorUsage = `Looks at this host and says what limits a busbar on it, and what would change that.

Usage: busbar doctor [flags]

Give it the server's -data, -listen, -api and -trusted-proxies. It changes nothing. It exits with 1
if there is something that keeps a server from starting here (FAIL), and with 0 otherwise: what is
marked WARN costs connections, speed, or safety.
`

// doctorConfig is what the host is judged against.
type doctorConfig struct {
	connections       int
	data, listen, api string
	proxies           []netip.Prefix
}

// doctor is the command of that name.
func doctor(args []string, s streams) error {
	var cfg doctorConfig
	t := newFlagTable("busbar doctor", doctorUsage)
	t.Group("Flags")
	t.Int(&cfg.connections, "connections", 100_000, 1, maxConnections, "connections that this host is meant to hold")
	t.DataDir(&cfg.data)
	t.shared(t.Address(&cfg.listen, "listen", ":4322", "address of the WebSocket listener"))
	t.API(&cfg.api)
	t.shared(t.TrustedProxies(&cfg.proxies))
	if _, err := t.parseOrHelp(args, s); err != nil {
		return err
	}
	h := readHost(os.DirFS("/"))
	findings := examine(h, cfg.connections)
	findings = append(findings, examineDataDir(cfg.data, h.locks), examinePort("-listen", cfg.listen, cfg.data, h.locks),
		examinePort("-api", cfg.api, cfg.data, h.locks))
	if len(cfg.proxies) > 0 {
		findings = append(findings, examineProxies(cfg.proxies, cfg.listen, cfg.connections))
	}
	if err := writeFindings(s.out, findings, estimate(h), cfg.connections); err != nil {
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
}

// writeFindings prints the findings and what they come to.
func writeFindings(w io.Writer, findings []finding, e estimated, asked int) error {
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
	for _, text := range wrap(e.sentence(asked), helpWidth) {
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
