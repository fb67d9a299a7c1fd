package main

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"

	"github.com/busbar-ws/busbar/internal/cli"
)

func TestTrustedProxies(t *testing.T) {
	for text, want := range map[string]string{
		"127.0.0.1": "127.0.0.1", "10.0.0.0/8,192.0.2.7": "10.0.0.0/8, 192.0.2.7", " ::1 , ,2001:db8::/32,": "::1, 2001:db8::/32",
		"::ffff:192.0.2.7": "192.0.2.7", "::ffff:192.0.2.0/120": "192.0.2.0/24", "0.0.0.0/0": "0.0.0.0/0", "10.1.2.3/32": "10.1.2.3",
	} {
		cfg := parsed(t, []string{"-proxy-protocol", "optional", "-trusted-proxies", text}, nil)
		if got := cli.FormatPrefixes(cfg.Hub.Loops.Accept.TrustedProxies); got != want {
			t.Errorf("%q: %s, want %s", text, got, want)
		}
	}
}

func TestErrorsOfProxies(t *testing.T) {
	for _, text := range []string{"localhost", "10.0.0.0/33", "10.1.2.3/8", "10.0.0.1:80", "fe80::1%eth0", "10.0.0", "::ffff:0:0/95", "10.0.0.1,x", "2001:db8::1/32"} {
		badConfig{
			args: "-proxy-protocol required -trusted-proxies " + text,
			want: `-trusted-proxies: "` + text + `" isn't a list of addresses and networks such as 127.0.0.1,10.0.0.0/8,2001:db8::/32`,
		}.check(t)
	}
	for _, test := range []badConfig{
		{args: "-proxy-protocol on", want: `-proxy-protocol: "on" isn't one of off, optional, required`},
		{
			args: "-proxy-protocol required",
			want: `-proxy-protocol: "required" needs -trusted-proxies with the addresses that proxies connect from, such as 127.0.0.1 or 10.0.0.0/8`,
		},
		{
			args: "-trusted-proxies=,", variables: map[string]string{"BUSBAR_PROXY_PROTOCOL": "optional"},
			want: `BUSBAR_PROXY_PROTOCOL: "optional" needs -trusted-proxies with the addresses that proxies connect from, such as 127.0.0.1 or 10.0.0.0/8`,
		},
	} {
		test.check(t)
	}
}

// The log says so in both of its forms.
func TestTrustOfEverybodyIsWarnedOf(t *testing.T) {
	const warning = "EVERYBODY IS TRUSTED (-trusted-proxies 0.0.0.0/0): whoever reaches the WebSocket can claim any address"
	for _, test := range []struct {
		args string
		want int
	}{
		{"-proxy-protocol optional -trusted-proxies 10.0.0.1,0.0.0.0/0", 1},
		{"-proxy-protocol required -trusted-proxies 0.0.0.0/0 -log-format json", 1},
		{"-proxy-protocol required -trusted-proxies 0.0.0.0/1 -log-format json", 0},
		{"-trusted-proxies 0.0.0.0/0", 0}, // nobody's header counts
	} {
		var log bytes.Buffer
		cfg := parsed(t, strings.Fields(test.args), nil)
		cfg.warn(newLogger(cfg, &log, new(slog.LevelVar)))
		if n := strings.Count(log.String(), warning); n != test.want {
			t.Errorf("%s: warned %d times, want %d:\n%s", test.args, n, test.want, &log)
		}
	}
}

// The announcement says whose headers count, and shouts when that is everybody.
func TestAnnouncedProxies(t *testing.T) {
	for trusted, want := range map[string]string{
		"10.0.0.0/8,::1": "a PROXY protocol header counts when it comes from 10.0.0.0/8, ::1",
		"10.0.0.1,::/0":  "EVERYBODY IS TRUSTED (::/0): whoever reaches the WebSocket can claim any address",
	} {
		srv := &server{cfg: parsed(t, []string{"-proxy-protocol", "optional", "-trusted-proxies", trusted}, nil)}
		if got := srv.proxies(); got != want {
			t.Errorf("%s: %q, want %q", trusted, got, want)
		}
	}
}
