package main

import (
	"log/slog"
	"strings"
)

// warnOfMisspelt logs variables that nothing reads, but whose names are nearly those of flags: what
// was meant to be set isn't. Others that begin alike are left alone: Kubernetes sets several
// for a service by the name of busbar. Values are never shown.
func warnOfMisspelt(log *slog.Logger, environ []string) {
	names := []string{"admin-token", "token"}
	for _, s := range newServeFlags(new(Config)).settings {
		if s.env != "" {
			names = append(names, s.name)
		}
	}
	known := make(map[string]bool)
	for _, name := range names {
		known[environmentName(name)] = true
	}
	for _, pair := range environ {
		name, _, _ := strings.Cut(pair, "=")
		rest, ours := strings.CutPrefix(name, "BUSBAR_")
		if !ours || known[name] {
			continue
		}
		if meant := nearestOf(names, strings.ToLower(strings.ReplaceAll(rest, "_", "-"))); meant != "" {
			log.Warn("an environment variable isn't read: nothing has that name", "variable", name, "nearest", environmentName(meant))
		}
	}
}
