//go:build !race && !racedaemon

package main

import (
	"regexp"
	"strings"
	"testing"

	"github.com/busbar-ws/busbar/internal/wstest"
)

func TestDoctorWithoutANumber(t *testing.T) {
	o := runCommand("", nil, "doctor", "-data", t.TempDir(), "-listen", wstest.FreeAddress(t), "-api", wstest.FreeAddress(t))
	o.want(t, exitOK)
	if !strings.Contains(o.out, "\n0 warnings, 0 failures.\n") || strings.Contains(o.out, "-connections") {
		t.Errorf("the report of this host:\n%s", o.out)
	}
}

func TestDoctorOfAServingHost(t *testing.T) {
	srv := sharedServer(t)
	listen := strings.TrimPrefix(srv.url, "ws://")
	args := []string{"doctor", "-connections", "10", "-listen", listen, "-api", srv.api}
	o := runCommand("", nil, append(args, "-data", srv.data)...)
	o.want(t, exitOK)
	for _, want := range []string{"A busbar serves from it", "by the busbar that serves", "0 failures", "enough for 10 "} {
		if !strings.Contains(o.out, want) {
			t.Errorf("the report lacks %q:\n%s", want, o.out)
		}
	}
	// To another server the same ports are taken.
	o = runCommand("", nil, append(args, "-data", t.TempDir())...)
	o.want(t, exitFailure, "2 FAILs")
	if !strings.Contains(o.out, "ss -ltnp 'sport = :") {
		t.Errorf("the report doesn't say who has the port:\n%s", o.out)
	}
}

func TestDoctorAndServerSayTheSameCapacity(t *testing.T) {
	t.Parallel()
	for _, l := range []launch{
		{}, {args: []string{"-loops", "3"}}, {args: []string{"-max-connections", "77"}}, {descriptors: 200},
		{env: []string{"BUSBAR_ROWS_URL=http://127.0.0.1:1/rows"}, descriptors: 4000},
	} {
		d := l.start(t)
		said := regexp.MustCompile(`Connections +up to (\d+): (limited by .*)\n`).FindStringSubmatch(d.out.String())
		l.args = append([]string{"doctor", "-data", d.dir, "-listen", d.ws, "-api", d.api}, l.args...)
		report, _, code := l.run(t)
		if code != exitOK || said == nil || !strings.Contains(strings.Join(strings.Fields(report), " "), "A server here takes up to "+said[1]+" connections: "+said[2]+".") {
			t.Errorf("%v: the server says %q, doctor (%d):\n%s", l.args, said, code, report)
		}
		d.stop()
	}
}

func TestDoctorRefusesANumberThatIsNone(t *testing.T) {
	runCommand("", nil, "doctor", "-connections", "many").want(t, exitUsage, "-connections")
}
func TestDoctorOfAHostBehindProxies(t *testing.T) {
	args := []string{"doctor", "-connections", "10", "-data", t.TempDir(), "-listen", wstest.FreeAddress(t), "-api", wstest.FreeAddress(t)}
	for trusted, want := range map[string]string{"10.0.0.0/8": "OK    -trusted-proxies 10.0.0.0/8\n", "0.0.0.0/0": "WARN  -trusted-proxies 0.0.0.0/0\n"} {
		o := runCommand("", nil, append(args, "-trusted-proxies", trusted)...)
		o.want(t, exitOK)
		if !strings.Contains(o.out, want) {
			t.Errorf("the report lacks %q:\n%s", want, o.out)
		}
	}
	o := runCommand("", nil, args...)
	o.want(t, exitOK)
	if strings.Contains(o.out, "proxies") && strings.Contains(o.out, "-trusted") {
		t.Errorf("the report speaks of proxies that there aren't:\n%s", o.out)
	}
}
