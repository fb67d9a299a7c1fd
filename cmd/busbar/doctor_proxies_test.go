package main

import (
	"strings"
	"testing"

	"github.com/busbar-ws/busbar/internal/wstest"
)

func TestExamineProxies(t *testing.T) {
	for _, c := range []struct {
		trusted, listen string
		connections     int64
		verdict         verdict
		meaning         string
	}{
		{"10.0.0.1", "10.0.0.9:4322", 64_512, fine, "believed."},
		{"10.0.0.1", "10.0.0.9:4322", 64_513, warn, "1 address can have at most 64512 connections to 10.0.0.9:4322. 64513 take 2 addresses"},
		{"10.0.0.1,10.0.0.2", "10.0.0.9:4322", 129_024, fine, "believed."},
		{"10.0.0.1,10.0.0.2", "10.0.0.9:4322", 1_000_000, warn, "2 addresses can have at most 129024 connections to 10.0.0.9:4322. 1000000 take 16"},
		{"10.0.0.1", ":4322", 1_000_000, fine, "believed."},
		{"10.0.0.1", "[::]:4322", 1_000_000, fine, "believed."},
		{"10.0.0.0/24", "10.0.0.9:4322", 1_000_000, fine, "believed."},
		{"10.0.0.1,0.0.0.0/0", ":4322", 1, warn, "0.0.0.0/0 is everybody"},
		{"::/0", ":4322", 1, warn, "::/0 is everybody"},
	} {
		trusted, ok := parsePrefixes(c.trusted)
		if !ok {
			t.Fatal(c.trusted)
		}
		f := examineProxies(trusted, c.listen, c.connections)
		if f.verdict != c.verdict || !strings.Contains(f.meaning, c.meaning) || (f.verdict == fine) != (len(f.fix) == 0) {
			t.Errorf("%+v: got %+v", c, f)
		}
	}
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
