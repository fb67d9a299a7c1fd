package main

import "time"

// maxConnections is more than one Linux host has been seen to hold, and keeps sums
// of connections far from an int32's end.
const maxConnections = 100_000_000

func declareNetwork(t *flagTable, cfg *Config) {
	o := &cfg.Hub.Loops
	t.Group("Network")
	t.Address(&o.Listen, "listen", o.Listen, "address of the WebSocket listener")
	t.API(&cfg.API)
	t.Duration(&cfg.APIKeepAlive, "api-keep-alive", 75*time.Second, time.Second,
		"how long a connection to the API stays open between two requests; "+
			"longer than a proxy in front keeps it, or a request may meet its end")
	t.Int(&o.Loops, "loops", 0, 0, 128, "event loops, one per shard; 0 = one per core")
	t.Int(&o.Accept.MaxConnections, "max-connections", 0, 0, maxConnections,
		"connections above this are refused; 0 = what descriptors allow")
	limit(t, &o.Accept.MaxPerAddress, "max-per-ip", maxConnections,
		"concurrent connections per client address, of IPv6 per /64 network; 0 = no limit")
	choice(t, &o.Accept.ProxyProtocol, "proxy-protocol", proxyUses,
		"take clients' addresses from PROXY protocol headers, version 1 or 2, of the -trusted-proxies; "+
			"with required nobody else may connect, and a header must come first")
	t.TrustedProxies(&o.Accept.TrustedProxies)
	limit(t, &o.Accept.Rate, "accept-rate", maxConnections,
		"connections a second that each loop accepts while it is behind with what it has to send (for 5ms); further ones wait "+
			"in the kernel's queue; a loop that isn't behind accepts all; 0 = no limit")
	t.Int(&o.Accept.Burst, "accept-burst", o.Accept.Burst, 1, maxConnections,
		"connections that a loop that is behind accepts at once before -accept-rate slows it down")
	t.Int(&o.Accept.MaxHandshakes, "max-handshakes", o.Accept.MaxHandshakes, 1, maxConnections,
		"connections of each loop that haven't been upgraded yet; at the limit further ones wait in the kernel's queue, "+
			"and those that have sent no request for an eighth of -handshake-timeout are closed")
	t.Duration(&o.Timeouts.Handshake, "handshake-timeout", o.Timeouts.Handshake, time.Second,
		"how long a connection may take to be upgraded, authentication included")
	t.Duration(&o.Timeouts.PingInterval, "ping-interval", o.Timeouts.PingInterval, time.Second,
		"ping a connection that was quiet for so long")
	t.Duration(&o.Timeouts.Pong, "pong-timeout", o.Timeouts.Pong, time.Second,
		"close a connection that doesn't answer a ping for so long")
	t.DurationUpTo(&o.FlushDelay, "flush-delay", time.Second,
		"least time between two flushes: messages that come sooner go out together, which saves CPU at high rates; 0 = none")
	t.Size(&o.SendBuffer, "send-buffer", o.SendBuffer, 0, gib,
		"kernel's send buffer per connection (SO_SNDBUF); 0 = the kernel's default")
	zeroIsOff(&o.NotSentLowat, t.Size(&o.NotSentLowat, "notsent-lowat", o.NotSentLowat, 0, gib,
		"unsent bytes that the kernel takes for a connection (TCP_NOTSENT_LOWAT); what is more waits in the server, "+
			"once for all who are owed it, and counts to -lag-bytes; 0 = off"))
	choice(t, &cfg.Hub.Reject, "reject", rejections,
		"answer a bad token with an upgrade and close code 1008, which a page can read, or with status 401")
	t.Origins(&cfg.Hub.Origins, "origins",
		"origins that browsers may connect from, separated by commas: https://app.example.com, "+
			"https://*.example.com for every host below it, * for any; empty = the same host, or no Origin header")
}
