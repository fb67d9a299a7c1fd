package main

import (
	"maps"
	"slices"
)

// besideEcho are the flags that may go with -echo: where it listens, how long it waits, how
// much it takes, what it logs. All others are about what an echo server doesn't have, and one
// of them beside -echo is more likely a production server about to let everybody in.
var besideEcho = []string{
	"echo", "listen", "loops", "max-connections", "max-per-ip",
	"accept-rate", "accept-burst", "max-handshakes",
	"handshake-timeout", "ping-interval", "pong-timeout", "drain",
	"flush-delay", "send-buffer", "notsent-lowat",
	"max-message-in", "slow", "lag-time", "lag-bytes", "buffer-memory",
	"compression", "compression-threshold",
	"log-level", "log-format",
}

// validateEcho is all of validate that concerns -echo.
func (c *Config) validateEcho() error {
	given := slices.Sorted(maps.Keys(c.sources))
	for _, name := range given {
		if !slices.Contains(besideEcho, name) {
			return usagef("%s: does nothing with %s, which echoes messages to whoever sends them "+
				"and has no users, hub, API or data; leave one of them out", c.source(name), c.source("echo"))
		}
	}
	if c.AdminToken != "" {
		return usagef("BUSBAR_ADMIN_TOKEN: is set beside %s, which lets everybody in; leave one of them out",
			c.source("echo"))
	}
	return nil
}
