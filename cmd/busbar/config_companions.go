package main

import (
	"log/slog"
	"maps"
	"slices"
	"strings"
)

// companion is the flags whose names begin with prefix: they have no effect unless met.
type companion struct {
	prefix string
	met    bool
	needs  string
}

func (c *Config) companions() []companion {
	return []companion{
		{"jwt-", c.Auth == authJWT, "-auth jwt"},
		{"jwt-refresh", c.Auth != authJWT || c.JWTJWKS != "", "-jwt-jwks"},
		{"auth-url", c.Auth == authHTTP, "-auth http"},
		{"auth-timeout", c.Auth == authHTTP, "-auth http"},
		{"auth-cache", c.Auth == authHTTP, "-auth http"},
		{"sessions-db", c.Auth == authSessions, "-auth sessions"},
		{"guests", !c.Guests || c.Auth == authSessions, "-auth sessions"},
		{"guest-ttl", c.Guests, "-guests"},
		{"trusted-proxies", c.ProxyProtocol != proxyOff, "-proxy-protocol optional or required"},
		{"compression-threshold", c.Compression != compressionOff, "-compression out or on"},
		{"rows-timeout", c.RowsURL != "", "-rows-url"},
		{"address-allowance", c.MaxPerIP > 0, "-max-per-ip"},
	}
}

// warnOfNoEffect names the flags that were given and change nothing.
func (c *Config) warnOfNoEffect(log *slog.Logger) {
	for _, name := range slices.Sorted(maps.Keys(c.sources)) {
		for _, rule := range c.companions() {
			if strings.HasPrefix(name, rule.prefix) && !rule.met {
				log.Warn(c.source(name) + " has no effect without " + rule.needs)
			}
		}
	}
}
