package main

import (
	"net"
	"strings"

	"github.com/busbar-ws/busbar/eventloop"
	"github.com/busbar-ws/busbar/hub"
)

// validate checks what no flag can check alone; what one can stands in its
// declaration. The error is a usageError which names the flags as they were given.
func (c *Config) validate() error {
	if c.Echo {
		return c.validateEcho()
	}
	for _, check := range []func(*Config) error{
		(*Config).validatePorts,
		(*Config).validateSizes,
		(*Config).validateSlow,
		(*Config).validateBufferMemory,
		(*Config).validateAdminToken,
		(*Config).validateAuth,
		(*Config).validateProxies,
		(*Config).validateNodes,
	} {
		if err := check(c); err != nil {
			return err
		}
	}
	return nil
}

// source names a flag as it was given: "-loops" or "BUSBAR_LOOPS".
func (c *Config) source(flagName string) string {
	if given := c.sources[flagName]; given != "" {
		return given
	}
	return "-" + flagName
}

func (c *Config) validatePorts() error {
	_, listen, _ := net.SplitHostPort(c.Hub.Loops.Listen)
	_, api, _ := net.SplitHostPort(c.API)
	// Port 0 is a free port of the kernel's choice, so never the same one.
	if listen == api && strings.Trim(api, "0") != "" {
		return usagef("%s: %q has the port of %s %q; give them different ports",
			c.source("api"), c.API, c.source("listen"), c.Hub.Loops.Listen)
	}
	return nil
}

func (c *Config) validateSizes() error {
	if c.Hub.Loops.MaxMessageIn > c.Hub.MaxMessageOut {
		return usagef("%s: %q is more than %s %s; what a client sends is relayed to others",
			c.source("max-message-in"), formatSize(c.Hub.Loops.MaxMessageIn),
			c.source("max-message-out"), formatSize(c.Hub.MaxMessageOut))
	}
	if c.Hub.Loops.Memory.QueueBytes < c.Hub.MaxMessageOut {
		return usagef("%s: %q is less than %s %s, so that the largest message would never fit",
			c.source("queue-bytes"), formatSize(c.Hub.Loops.Memory.QueueBytes),
			c.source("max-message-out"), formatSize(c.Hub.MaxMessageOut))
	}
	return nil
}

func (c *Config) validateSlow() error {
	if c.Hub.Loops.Slow.Policy == eventloop.CatchUp && c.Hub.Routing == hub.RouteSubscribed {
		return usagef("%s: catch-up doesn't go with %s subscribed, because the log doesn't say what a client was subscribed to; "+
			"use drop-oldest or disconnect", c.source("slow"), c.source("routing"))
	}
	return nil
}

// validateAdminToken never puts the token into an error.
func (c *Config) validateAdminToken() error {
	if c.AdminToken == "" {
		return nil
	}
	if c.AdminTokenFile != "" {
		return usagef("%s: %q is given beside BUSBAR_ADMIN_TOKEN; give one of them",
			c.source("admin-token-file"), c.AdminTokenFile)
	}
	// RFC 6750 section 2.1: a bearer token is made of printable ASCII without spaces.
	notTokenByte := func(r rune) bool { return r <= ' ' || r > '~' }
	if strings.ContainsFunc(c.AdminToken, notTokenByte) {
		return usagef("BUSBAR_ADMIN_TOKEN: holds a space or a character that can't be in a header; " +
			"use letters, digits and -._~+/=")
	}
	return nil
}

func (c *Config) validateAuth() error {
	switch {
	case c.Auth == authJWT && c.JWT.KeyFile == "" && c.JWT.JWKSURL == "":
		return usagef("%s: %q needs one of -jwt-key and -jwt-jwks", c.source("auth"), c.Auth)
	case c.Auth == authJWT && c.JWT.KeyFile != "" && c.JWT.JWKSURL != "":
		return usagef("%s: %q is given beside %s; give one of them",
			c.source("jwt-jwks"), withoutSecrets(c.JWT.JWKSURL), c.source("jwt-key"))
	case c.Auth == authJWT && c.JWT.UserClaim == "":
		return usagef(`%s: "" isn't the name of a claim, such as sub`, c.source("jwt-user-claim"))
	case c.Auth == authHTTP && c.AuthHTTP.URL == "":
		return usagef("%s: %q needs -auth-url", c.source("auth"), c.Auth)
	}
	return nil
}
