package main

import (
	"errors"
	"strings"
	"testing"

	"github.com/busbar-ws/busbar/internal/cli"
)

type badConfig struct {
	args      string // separated by spaces
	variables map[string]string
	want      string
}

func (b badConfig) check(t *testing.T) {
	t.Helper()
	_, err := parseOptions(strings.Fields(b.args), environment(b.variables))
	var usage cli.UsageError
	if !errors.As(err, &usage) {
		t.Fatalf("%s %v: got %v, want a cli.UsageError", b.args, b.variables, err)
	}
	if err.Error() != b.want {
		t.Errorf("%s %v:\n got %s\nwant %s", b.args, b.variables, err, b.want)
	}
	if strings.Contains(err.Error(), "\n") {
		t.Errorf("%s: the error takes more than a line", b.args)
	}
}

func TestErrorsOfValues(t *testing.T) {
	for _, test := range []badConfig{
		{args: "-loops zero", want: `-loops: "zero" isn't a whole number from 0 to 128`},
		{args: "-loops 129", want: `-loops: "129" isn't a whole number from 0 to 128`},
		{args: "-loops=", want: `-loops: "" isn't a whole number from 0 to 128`},
		{args: "-loops 2.5", want: `-loops: "2.5" isn't a whole number from 0 to 128`},
		{args: "-queue-messages 0", want: `-queue-messages: "0" isn't a whole number from 1 to 16777216`},
		{args: "-max-per-ip -1", want: `-max-per-ip: "-1" isn't a whole number from 0 to 100000000`},
		{args: "-ping-interval 999ms", want: `-ping-interval: "999ms" isn't a duration of at least 1s, such as 25s`},
		{args: "-pong-timeout 10", want: `-pong-timeout: "10" isn't a duration of at least 1s, such as 10s`},
		{args: "-flush-delay 2s", want: `-flush-delay: "2s" isn't a duration from 0s to 1s, such as 10ms`},
		{args: "-flush-delay -1ms", want: `-flush-delay: "-1ms" isn't a duration from 0s to 1s, such as 10ms`},
		{args: "-drain -1s", want: `-drain: "-1s" isn't a duration of at least 0s, such as 5s`},
		{args: "-lag-bytes 4095", want: `-lag-bytes: "4095" isn't a size of at least 4KiB, in bytes or with a unit, such as 64KiB`},
		{args: "-max-message-in 124", want: `-max-message-in: "124" isn't a size from 125 to 1GiB, in bytes or with a unit, such as 64KiB`},
		{args: "-max-message-out 2GiB", want: `-max-message-out: "2GiB" isn't a size from 125 to 1GiB, in bytes or with a unit, such as 64KiB`},
		{args: "-message-rate -1", want: `-message-rate: "-1" isn't a whole number from 0 to 1000000`},
		{args: "-byte-burst 0", want: `-byte-burst: "0" isn't a size from 1 to 1GiB, in bytes or with a unit, such as 64KiB`},
		{args: "-compression both", want: `-compression: "both" isn't one of off, out, on`},
		{args: "-compression on -compression-threshold 0", want: `-compression-threshold: "0" isn't a size from 1 to 1GiB, in bytes or with a unit, such as 64KiB`},
		{args: "-log-bytes 10", want: `-log-bytes: "10" isn't 0, or a size of at least 1KiB, in bytes or with a unit, such as 64KiB`},
		{args: "-log-age 1ms", want: `-log-age: "1ms" isn't 0, or a duration from 100ms to 87600h, such as 876h`},
		{args: "-slow kill", want: `-slow: "kill" isn't one of disconnect, drop-oldest, catch-up`},
		{args: "-reject HTTP", want: `-reject: "HTTP" isn't one of close, http`},
		{args: "-guests=maybe", want: `-guests: "maybe" isn't true or false`},
		{args: "-listen 4322", want: `-listen: "4322" isn't an address such as :4322, 127.0.0.1:4322 or [::1]:4322`},
		{args: "-listen :65536", want: `-listen: ":65536" isn't an address such as :4322, 127.0.0.1:4322 or [::1]:4322`},
		{args: "-api http://[::1]:4321", want: `-api: "http://[::1]:4321" isn't an address such as :4322, 127.0.0.1:4322 or [::1]:4322`},
		{args: "-rows-url rows.example/x", want: `-rows-url: "rows.example/x" isn't a URL such as https://app.example.com/check`},
		{args: "-auth-url htp://bob:s3cret@a/b?key=k3y", want: `-auth-url: "htp://…@a/b?…" isn't a URL such as https://app.example.com/check`},
		{args: "-snapshot-url ftp://a/b", want: `-snapshot-url: "ftp://a/b" isn't a URL such as https://app.example.com/check`},
		{args: "-snapshot-timeout 1ms", want: `-snapshot-timeout: "1ms" isn't a duration of at least 100ms, such as 10s`},
		{args: "-rows-url bob:s3cret@a", want: `-rows-url: "…@a" isn't a URL such as https://app.example.com/check`},
		{args: "-rows-url http://bob:s3?cret@a/b", want: `-rows-url: "http://…" isn't a URL such as https://app.example.com/check`},
		{args: "-auth jwt -jwt-key k -jwt-jwks https://h/k?key=k3@s3cret", want: `-jwt-jwks: "https://…" is given beside -jwt-key; give one of them`},
		{args: "-rows-url h?key=k3@s3cret", want: `-rows-url: "…" isn't a URL such as https://app.example.com/check`},
		{
			args: "-log nats -cluster-routes nats://bob:s3cret@a:6222",
			want: `-cluster-routes: "nats://…@a:6222" isn't a list of addresses such as 10.0.0.1:6222,10.0.0.2:6222,10.0.0.3:6222`,
		},
		{args: "-auth-url ftp://a/b", want: `-auth-url: "ftp://a/b" isn't a URL such as https://app.example.com/check`},
		{
			variables: map[string]string{"BUSBAR_LOOPS": "zero"},
			want:      `BUSBAR_LOOPS: "zero" isn't a whole number from 0 to 128`,
		},
		{
			variables: map[string]string{"BUSBAR_GUESTS": "on"},
			want:      `BUSBAR_GUESTS: "on" isn't true or false`,
		},
		{
			variables: map[string]string{"BUSBAR_ORIGINS": "http://\xff"},
			want:      `BUSBAR_ORIGINS: "http://\xff" isn't UTF-8`,
		},
	} {
		test.check(t)
	}
}

func TestErrorsOfPylonMaxFrame(t *testing.T) {
	for _, value := range []string{"16MiB", "-1", "124", "1073741825", "x", "99999999999999999999"} {
		badConfig{
			variables: map[string]string{"PYLON_WS_MAX_FRAME": value},
			want: `PYLON_WS_MAX_FRAME: "` + value +
				`" isn't a whole number of bytes from 125 to 1073741824; -max-message-out takes its place`,
		}.check(t)
	}
}

func TestErrorsOfTheCommandLine(t *testing.T) {
	for _, test := range []badConfig{
		{args: "-max-per-ips 3", want: `-max-per-ips: no such flag; did you mean -max-per-ip?`},
		{args: "-lisen :1", want: `-lisen: no such flag; did you mean -listen?`},
		{args: "--max-conn=3", want: `-max-conn: no such flag; did you mean -max-connections?`},
		{args: "-zzz", want: `-zzz: no such flag; busbar -help lists them`},
		{args: "-loops", want: `-loops: needs a value: a whole number from 0 to 128`},
		{args: "---loops", want: `bad flag syntax: ---loops; busbar -help shows how flags are written`},
		{args: "foo", want: `"foo": unexpected argument; busbar -help shows what busbar takes`},
		{args: "-loops 3 foo -bar", want: `-bar: no such flag; busbar -help lists them`},
		{args: "-- -loops", want: `"-loops": unexpected argument; busbar -help shows what busbar takes`},
		{args: "-guests true", want: `"true": unexpected argument; a true/false flag takes its value after =, as in -name=true`},
	} {
		test.check(t)
	}
}

func TestErrorsBetweenFlags(t *testing.T) {
	for _, test := range []badConfig{
		{args: "-listen :4321", want: `-api: "127.0.0.1:4321" has the port of -listen ":4321"; give them different ports`},
		{args: "-max-message-in 17MiB", want: `-max-message-in: "17MiB" is more than -max-message-out 16MiB; what a client sends is relayed to others`},
		{
			args: "-queue-bytes 1MiB", variables: map[string]string{"PYLON_WS_MAX_FRAME": "2097152"},
			want: `-queue-bytes: "1MiB" is less than PYLON_WS_MAX_FRAME 2MiB, so that the largest message would never fit`,
		},
		{
			args: "-slow catch-up -routing subscribed",
			want: "-slow: catch-up doesn't go with -routing subscribed, because the log doesn't say what a client was subscribed to; " +
				"use drop-oldest or disconnect",
		},
		{args: "-auth jwt", want: `-auth: "jwt" needs one of -jwt-key and -jwt-jwks`},
		{args: "-auth jwt -jwt-key k -jwt-jwks http://u:s3cret@h/k", want: `-jwt-jwks: "http://…@h/k" is given beside -jwt-key; give one of them`},
		{args: "-auth jwt -jwt-key k -jwt-jwks u", want: `-jwt-jwks: "u" is given beside -jwt-key; give one of them`},
		{args: "-auth jwt -jwt-key k -jwt-user-claim=", want: `-jwt-user-claim: "" isn't the name of a claim, such as sub`},
		{
			variables: map[string]string{"BUSBAR_AUTH": "http"},
			want:      `BUSBAR_AUTH: "http" needs -auth-url`,
		},
		{
			args: "-admin-token-file f", variables: map[string]string{"BUSBAR_ADMIN_TOKEN": "s3cret"},
			want: `-admin-token-file: "f" is given beside BUSBAR_ADMIN_TOKEN; give one of them`,
		},
	} {
		test.check(t)
	}
}

// docs/protocol.md section 7: -echo goes with nothing that an echo server doesn't have.
func TestErrorsBesideEcho(t *testing.T) {
	const reason = ", which echoes messages to whoever sends them and has no users, hub, API or data; leave one of them out"
	for _, test := range []badConfig{
		{args: "-echo -auth none", want: "-auth: does nothing with -echo" + reason},
		{args: "-echo -data d", want: "-data: does nothing with -echo" + reason},
		{args: "-echo -api :1", want: "-api: does nothing with -echo" + reason},
		{args: "-echo -origins *", want: "-origins: does nothing with -echo" + reason},
		{args: "-echo -max-message-out 1KiB", want: "-max-message-out: does nothing with -echo" + reason},
		{
			args: "-auth sessions", variables: map[string]string{"BUSBAR_ECHO": "true"},
			want: "-auth: does nothing with BUSBAR_ECHO" + reason,
		},
		{
			args: "-echo", variables: map[string]string{"BUSBAR_SESSIONS_DB": "s.db"},
			want: "BUSBAR_SESSIONS_DB: does nothing with -echo" + reason,
		},
		{
			args: "-echo", variables: map[string]string{"PYLON_WS_MAX_FRAME": "1000"},
			want: "PYLON_WS_MAX_FRAME: does nothing with -echo" + reason,
		},
		{
			args: "-echo", variables: map[string]string{"BUSBAR_ADMIN_TOKEN": "s3cret"},
			want: "BUSBAR_ADMIN_TOKEN: is set beside -echo, which lets everybody in; leave one of them out",
		},
	} {
		test.check(t)
	}
}

// What outside suites need goes with -echo.
func TestFlagsBesideEcho(t *testing.T) {
	parsed(t, []string{"-echo", "-listen", ":0", "-loops", "1", "-max-connections", "9", "-max-per-ip", "0", "-handshake-timeout", "1s",
		"-ping-interval", "1s", "-pong-timeout", "1s", "-drain", "1s", "-flush-delay", "1ms", "-send-buffer", "1MiB", "-notsent-lowat", "1MiB",
		"-max-message-in", "1GiB", "-slow", "drop-oldest", "-lag-time", "1s", "-lag-bytes", "1GiB", "-log-level", "debug", "-log-format", "json"}, nil)
	parsed(t, []string{"-echo=false", "-auth", "none"}, nil)
}

func TestPortZeroIsNeverTheSame(t *testing.T) {
	parsed(t, []string{"-listen", "127.0.0.1:0", "-api", "127.0.0.1:0"}, nil)
}

func TestErrorsOfOrigins(t *testing.T) {
	for _, value := range []string{
		"null", "app.example.com", "https://", "https:app.example.com", "https://a.example/path",
		"https://a.example?q", "https://u@a.example", "https://*", "https://*.", "https://*.com",
		"https://*.*.example", "https://a.*.example", "https://*a.example", "https://a.example,bad",
	} {
		badConfig{
			args: "-origins " + value,
			want: `-origins: "` + value + `" isn't a list of origins such as ` +
				`https://app.example.com,https://*.example.com, or *`,
		}.check(t)
	}
}

func TestUnknownFlagErrorStaysOnALine(t *testing.T) {
	_, err := parseOptions([]string{"-a\nb"}, noEnvironment)
	if err == nil || strings.Contains(err.Error(), "\n") {
		t.Errorf("got %q, want an error of one line", err)
	}
}
