package main

import (
	"bytes"
	"fmt"
	"log/slog"
	"strings"
	"testing"
)

func TestFlagsWithoutEffectAreWarnings(t *testing.T) {
	for _, test := range []struct {
		args      string
		variables map[string]string
		want      []string
	}{
		{args: "-jwt-issuer i", want: []string{"-jwt-issuer has no effect without -auth jwt"}},
		{args: "-auth none -sessions-db p.db", want: []string{"-sessions-db has no effect without -auth sessions"}},
		{args: "-auth none -guests", want: []string{"-guests has no effect without -auth sessions"}},
		{args: "-guest-ttl 1h", want: []string{"-guest-ttl has no effect without -guests"}},
		{args: "-max-per-ip 0 -address-allowance 3", want: []string{"-address-allowance has no effect without -max-per-ip"}},
		{args: "-compression-threshold 1KiB", want: []string{"-compression-threshold has no effect without -compression out or on"}},
		{args: "-auth-url http://a/b -auth-cache 0", want: []string{"-auth-cache has no effect without -auth http", "-auth-url has no effect without -auth http"}},
		{args: "-rows-url http://a/b -rows-max 5 -rows-bytes 1MiB", want: []string{"-rows-bytes has no effect with -rows-url", "-rows-max has no effect with -rows-url"}},
		{args: "-accept-rate 0 -accept-burst 5", want: []string{"-accept-burst has no effect with -accept-rate 0"}},
		{args: "-message-rate 0 -message-burst 5", want: []string{"-message-burst has no effect with -message-rate 0"}},
		{args: "-byte-rate 0 -byte-burst 5", want: []string{"-byte-burst has no effect with -byte-rate 0"}},
		{args: "-subscribe-rate 0 -subscribe-burst 5", want: []string{"-subscribe-burst has no effect with -subscribe-rate 0"}},
		{args: "-relay-rate 0 -relay-burst 5", want: []string{"-relay-burst has no effect with -relay-rate 0"}},
		{args: "-relays off -relay-rate 0 -relay-burst 5", want: []string{"-relay-burst has no effect with -relays off", "-relay-rate has no effect with -relays off"}},
		{args: "-cluster-listen 10.0.0.1:1 -node 3", want: []string{"-cluster-listen has no effect without -log nats", "-node has no effect without -log nats"}},
		{args: "-log nats -nats nats://10.0.0.1 -cluster-name c", want: []string{"-cluster-name has no effect without -cluster-listen"}},
		{args: "-rows-recheck 1m", want: []string{"-rows-recheck has no effect without -rows-url"}},
		{args: "-snapshot-timeout 3s", want: []string{"-snapshot-timeout has no effect without -snapshot-url"}},
		{args: "-snapshot-url http://a/b -snapshot-timeout 3s"},
		{variables: map[string]string{"BUSBAR_ROWS_TIMEOUT": "1s"}, want: []string{"BUSBAR_ROWS_TIMEOUT has no effect without -rows-url"}},
		{args: "-auth http -auth-url http://a/b -auth-timeout 1s -guests=false -jwt-issuer i", want: []string{"-jwt-issuer has no effect without -auth jwt"}},
		{args: "-rows-url http://a/b -rows-timeout 1s -rows-recheck 1m -guests -guest-ttl 1h -address-allowance 3"},
		{args: "-auth none -auth-timeout 1s -trusted-proxies 10.0.0.0/8 -rows-max 5 -rows-bytes 1MiB -accept-burst 5"}, // of look-ups; of the API
		{args: "-message-burst 5 -byte-burst 5 -subscribe-burst 5 -relay-burst 5 -relay-rate 1 -relays all"},
	} {
		var text bytes.Buffer
		cfg := parsed(t, strings.Fields(test.args), test.variables)
		cfg.warnOfNoEffect(slog.New(slog.NewTextHandler(&text, &slog.HandlerOptions{ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
			if a.Key == slog.TimeKey {
				return slog.Attr{}
			}
			return a
		}})))
		want := ""
		for _, warning := range test.want {
			want += fmt.Sprintf("level=WARN msg=%q\n", warning)
		}
		if text.String() != want {
			t.Errorf("%s %v: warned\n%swant\n%s", test.args, test.variables, &text, want)
		}
	}
}

func TestFlagsWithoutEffectDontKeepItFromStarting(t *testing.T) {
	d := startDaemon(t, "-max-per-ip", "0", "-address-allowance", "3")
	if !strings.Contains(d.log.String(), "-address-allowance has no effect without -max-per-ip") {
		t.Errorf("logged %s", d.log)
	}
}
