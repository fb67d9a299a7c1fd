package main

import (
	"log/slog"
	"strings"
)

// warnOfMisspelt logs variables that nothing reads, but whose names are nearly those of flags: what
// was meant to be set isn't. Others that begin alike are left alone: Kubernetes sets several
// for a service by the name of busbar. Values are never shown.
func warnOfMisspelt(log *slog.Logger, environ []string) {
	t := newServeFlags(new(Config))
	known := map[string]bool{"BUSBAR_ADMIN_TOKEN": true, "BUSBAR_TOKEN": true}
	for _, s := range t.settings {
		known[s.env] = true
	}
	for _, pair := range environ {
		name, _, _ := strings.Cut(pair, "=")
		rest, ours := strings.CutPrefix(name, "BUSBAR_")
		if !ours || known[name] {
			continue
		}
		if meant := t.nearest(strings.ToLower(strings.ReplaceAll(rest, "_", "-"))); meant != "" {
			if s := t.setting(meant); s.env != "" {
				log.Warn("an environment variable isn't read: nothing has that name", "variable", name, "nearest", s.env)
			}
		}
	}
}
