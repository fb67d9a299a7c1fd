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
		{args: "-trusted-proxies 10.0.0.0/8", want: []string{"-trusted-proxies has no effect without -proxy-protocol optional or required"}},
		{args: "-compression-threshold 1KiB", want: []string{"-compression-threshold has no effect without -compression out or on"}},
		{args: "-auth-url http://a/b -auth-timeout 1s -auth-cache 0", want: []string{
			"-auth-cache has no effect without -auth http", "-auth-timeout has no effect without -auth http", "-auth-url has no effect without -auth http",
		}},
		{variables: map[string]string{"BUSBAR_ROWS_TIMEOUT": "1s"}, want: []string{"BUSBAR_ROWS_TIMEOUT has no effect without -rows-url"}},
		{args: "-auth http -auth-url http://a/b -auth-timeout 1s -guests=false -jwt-issuer i", want: []string{"-jwt-issuer has no effect without -auth jwt"}},
		{args: "-rows-url http://a/b -rows-timeout 1s -guests -guest-ttl 1h -address-allowance 3"},
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
