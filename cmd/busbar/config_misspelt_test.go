package main

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
)

func TestCommandsWarnOfMisspeltVariables(t *testing.T) {
	o := runCommand("", []string{"BUSBAR_DATTA=/nowhere"}, "session", "create", "-user", "alice", "-data", t.TempDir())
	o.want(t, exitOK, "BUSBAR_DATTA", "nearest=BUSBAR_DATA")
}

func TestMisspeltVariables(t *testing.T) {
	for pair, meant := range map[string]string{
		"BUSBAR_MAX_CONECTIONS=5":                 "BUSBAR_MAX_CONNECTIONS",
		"BUSBAR_max_connections=5":                "BUSBAR_MAX_CONNECTIONS",
		"BUSBAR_BUFER_MEMORY=s3cret":              "BUSBAR_BUFFER_MEMORY",
		"BUSBAR_ADMIN_TOKN=s3cret":                "BUSBAR_ADMIN_TOKEN",
		"BUSBAR_MAX_CONNECTIONS=5":                "",
		"BUSBAR_ADMIN_TOKEN=s3cret":               "",
		"BUSBAR_TOKEN=s3cret":                     "",
		"BUSBAR_SERVICE_HOST=10.0.0.1":            "",
		"BUSBAR_PORT=tcp://10.0.0.1:4322":         "",
		"BUSBAR_PORT_4322_TCP=tcp://10.0.0.1:432": "",
		"OTHER_MAX_CONECTIONS=5":                  "",
	} {
		var text bytes.Buffer
		warnOfMisspelt(slog.New(slog.NewTextHandler(&text, nil)), []string{"HOME=/", pair})
		switch {
		case meant == "" && text.Len() > 0:
			t.Errorf("%s: %s", pair, &text)
		case meant != "" && !strings.HasSuffix(text.String(), "nearest="+meant+"\n"):
			t.Errorf("%s: %q, want %s named", pair, &text, meant)
		}
		if strings.Contains(text.String(), "s3cret") {
			t.Errorf("a value is shown: %s", &text)
		}
	}
}
