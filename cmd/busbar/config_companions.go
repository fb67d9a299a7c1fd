package main

import (
	"log/slog"
	"maps"
	"slices"
	"strings"

	"github.com/busbar-ws/busbar/eventloop"
	"github.com/busbar-ws/busbar/hub"
)

// companion is the flags whose names begin with prefix: they have no effect unless met.
type companion struct {
	prefix  string
	met     bool
	lacking string
}

func (c *Config) companions() []companion {
	return []companion{
		{"jwt-", c.Auth == authJWT, "without -auth jwt"},
		{"jwt-refresh", c.Auth != authJWT || c.JWT.JWKSURL != "", "without -jwt-jwks"},
		{"auth-url", c.Auth == authHTTP, "without -auth http"},
		{"auth-cache", c.Auth == authHTTP, "without -auth http"},
		{"sessions-db", c.Auth == authSessions, "without -auth sessions"},
		{"guests", !c.Guests || c.Auth == authSessions, "without -auth sessions"},
		{"guest-ttl", c.Guests, "without -guests"},
		{"compression-threshold", c.Hub.Loops.Compression != eventloop.CompressOff, "without -compression out or on"},
		{"rows-timeout", c.RowsURL != "", "without -rows-url"},
		{"rows-recheck", c.RowsURL != "", "without -rows-url"},
		{"snapshot-timeout", c.SnapshotURL != "", "without -snapshot-url"},
		{"rows-max", c.RowsURL == "", "with -rows-url"},
		{"rows-bytes", c.RowsURL == "", "with -rows-url"},
		{"log-age", c.Log.Kind != logMemory, "with -log memory"},
		{"log-tail", c.Log.Kind != logMemory, "with -log memory"},
		{"nats", c.Log.Kind == logNATS, "without -log nats"},
		{"nats-c", c.Log.NATS.Servers != "" || c.Log.Kind != logNATS, "without -nats"},
		{"nats-nkey", c.Log.NATS.Servers != "" || c.Log.Kind != logNATS, "without -nats"},
		{"nats-key", c.Log.NATS.Servers != "" || c.Log.Kind != logNATS, "without -nats"},
		{"nats-publish", c.Log.NATS.Servers != "" || c.Log.Kind != logNATS, "without -nats"},
		{"node", c.Log.Kind == logNATS, "without -log nats"},
		{"cluster-", c.Log.Kind == logNATS, "without -log nats"},
		{"cluster-", c.Log.Kind != logNATS || c.Log.Cluster.Listen != "", "without -cluster-listen"},
		{"accept-burst", c.Hub.Loops.Accept.Rate > 0, "with -accept-rate 0"},
		{"message-burst", c.Hub.Rates.Messages.PerSecond > 0, "with -message-rate 0"},
		{"byte-burst", c.Hub.Rates.Bytes.PerSecond > 0, "with -byte-rate 0"},
		{"subscribe-burst", c.Hub.Rates.Subscribes.PerSecond > 0, "with -subscribe-rate 0"},
		{"relay-", c.Hub.Relays != hub.RelayOff, "with -relays off"},
		{"relay-burst", c.Hub.Relays == hub.RelayOff || c.Hub.Rates.Relays.PerSecond > 0, "with -relay-rate 0"},
		{"address-allowance", c.Hub.Loops.Accept.MaxPerAddress > 0, "without -max-per-ip"},
	}
}

// warnOfNoEffect names the flags that were given and change nothing.
func (c *Config) warnOfNoEffect(log *slog.Logger) {
	for _, name := range slices.Sorted(maps.Keys(c.sources)) {
		for _, rule := range c.companions() {
			if strings.HasPrefix(name, rule.prefix) && !rule.met {
				log.Warn(c.source(name) + " has no effect " + rule.lacking)
			}
		}
	}
}
