package main

import (
	"maps"
	"slices"
	"strings"
)

// companions are flags that mean nothing unless another one is set. Given alone they
// are a mistake that would otherwise show as tokens refused or callbacks not made.
func (c *Config) companions() []companion {
	return []companion{
		{"jwt-", c.Auth == authJWT, "-auth jwt"},
		{"auth-url", c.Auth == authHTTP, "-auth http"},
		{"auth-timeout", c.Auth == authHTTP, "-auth http"},
		{"sessions-db", c.Auth == authSessions, "-auth sessions"},
		{"guests", !c.Guests || c.Auth == authSessions, "-auth sessions"},
		{"guest-ttl", c.Guests, "-guests"},
		{"trusted-proxies", c.ProxyProtocol != proxyOff, "-proxy-protocol optional or required"},
		{"compression-threshold", c.Compression != compressionOff, "-compression out or on"},
		{"rows-timeout", c.RowsURL != "", "-rows-url"},
		{"address-allowance", c.MaxPerIP > 0, "-max-per-ip"},
	}
}

type companion struct {
	prefix string // of the flags' names
	met    bool
	needs  string
}

func (c *Config) validateCompanions() error {
	given := slices.Sorted(maps.Keys(c.sources))
	for _, rule := range c.companions() {
		for _, name := range given {
			if strings.HasPrefix(name, rule.prefix) && !rule.met {
				return usagef("%s: does nothing without %s; add that, or leave %s out",
					c.source(name), rule.needs, c.source(name))
			}
		}
	}
	return nil
}
