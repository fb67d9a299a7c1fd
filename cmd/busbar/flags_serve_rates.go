package main

const maxRate = 1_000_000

func declareRates(t *flagTable, cfg *Config) {
	t.Group("Rate limits: what is over one is dropped; who goes on at over twice the rate gets 1008")
	t.Int(&cfg.MessageRate, "message-rate", 200, 0, maxRate,
		"messages per second that one connection may send, of all kinds and pings too; 0 = no limit")
	t.Int(&cfg.MessageBurst, "message-burst", 20_000, 1, maxCount,
		"messages that a connection may send at once, as it does to subscribe again after a reconnect")
	t.Size(&cfg.ByteRate, "byte-rate", 2*mib, 0, gib,
		"bytes per second that one connection may send; 0 = no limit")
	t.Size(&cfg.ByteBurst, "byte-burst", 8*mib, 1, gib,
		"bytes that a connection may send at once, above -byte-rate")
	t.Int(&cfg.RelayRate, "relay-rate", 20, 0, maxRate,
		"presence and topic messages per second that one connection may have relayed; 0 = no limit")
	t.Int(&cfg.RelayBurst, "relay-burst", 40, 1, maxRate,
		"messages that a connection may have relayed at once, above -relay-rate")
	t.Int(&cfg.SubscribeRate, "subscribe-rate", 100, 0, maxRate,
		"subscriptions per second that one connection may begin or end; 0 = no limit")
	t.Int(&cfg.SubscribeBurst, "subscribe-burst", 0, 0, maxCount,
		"subscriptions that a connection may begin or end at once; 0 = as many as it may hold, at least 1000")
	t.Int(&cfg.UserAllowance, "user-allowance", 8, 0, maxCount,
		"how many connections' limits all connections of one user have together; 0 = as much as they have each")
	t.Int(&cfg.AddressAllowance, "address-allowance", 32, 0, maxCount,
		"the same for one client address (of IPv6, for a /64); counts only with -max-per-ip")
}
