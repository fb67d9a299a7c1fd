package main

const maxRate = 1_000_000

func declareRates(t *flagTable, cfg *Config) {
	r := &cfg.Hub.Rates
	t.Group("Rate limits: what is over one is dropped; who goes on at over twice the rate gets 1008")
	limit(t, &r.Messages.PerSecond, "message-rate", maxRate,
		"messages per second that one connection may send, of all kinds and pings too; 0 = no limit")
	number(t, &r.Messages.Burst, "message-burst", 1, maxCount,
		"messages that a connection may send at once, as it does to subscribe again after a reconnect")
	zeroIsOff(&r.Bytes.PerSecond, size(t, &r.Bytes.PerSecond, "byte-rate", 0, gib,
		"bytes per second that one connection may send; 0 = no limit"))
	size(t, &r.Bytes.Burst, "byte-burst", 1, gib,
		"bytes that a connection may send at once, above -byte-rate")
	limit(t, &r.Relays.PerSecond, "relay-rate", maxRate,
		"presence and topic messages per second that one connection may have relayed; 0 = no limit")
	number(t, &r.Relays.Burst, "relay-burst", 1, maxRate,
		"messages that a connection may have relayed at once, above -relay-rate")
	limit(t, &r.Subscribes.PerSecond, "subscribe-rate", maxRate,
		"subscriptions per second that one connection may begin or end; 0 = no limit")
	number(t, &r.Subscribes.Burst, "subscribe-burst", 0, maxCount,
		"subscriptions that a connection may begin or end at once; 0 = as many as it may hold, at least 1000")
	limit(t, &r.PerUser, "user-allowance", maxCount,
		"how many connections' limits all connections of one user have together; 0 = as much as they have each")
	limit(t, &r.PerAddress, "address-allowance", maxCount,
		"the same for one client address (of IPv6, for a /64); counts only with -max-per-ip")
}
