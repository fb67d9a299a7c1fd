package main

import (
	"github.com/busbar-ws/busbar/hub"
)

// rates are the flags as the hub takes them.
func (cfg *Config) rates() hub.Rates {
	return hub.Rates{
		Messages:   limit(cfg.MessageRate, cfg.MessageBurst),
		Bytes:      limit(cfg.ByteRate, cfg.ByteBurst),
		Relays:     limit(cfg.RelayRate, cfg.RelayBurst),
		Subscribes: limit(cfg.SubscribeRate, cfg.SubscribeBurst), // a burst of zero is the hub's default
		PerUser:    orOff(cfg.UserAllowance), PerAddress: orOff(cfg.AddressAllowance),
	}
}

func limit(perSecond, burst int) hub.Limit {
	return hub.Limit{PerSecond: float64(orOff(perSecond)), Burst: float64(burst)}
}
