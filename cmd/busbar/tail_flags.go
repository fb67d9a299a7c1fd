package main

import (
	"net/url"
	"strings"
)

// maxRepeats bounds how often a flag may be repeated.
const maxRepeats = 10_000

// Texts declares a flag that may be given several times. Each value is appended to *p.
func (t *flagTable) Texts(p *[]string, name, unit, meaning string) *setting {
	return t.add(&setting{
		name: name, unit: unit, meaning: meaning, accepts: "a " + unit,
		store: func(text string) bool {
			return text != "" && store(p, append(*p, text), len(*p) < maxRepeats)
		},
	})
}

// rowName names one row.
type rowName struct{ entity, id string }

// Rows declares a flag whose values are rows, as entity/row. An entity can't hold a
// slash that way, a row id can.
func (t *flagTable) Rows(p *[]rowName, name, meaning string) *setting {
	return t.add(&setting{
		name: name, unit: "entity/row", meaning: meaning, accepts: "an entity and a row id, such as Todo/t_1",
		store: func(text string) bool {
			entity, id, _ := strings.Cut(text, "/")
			return store(p, append(*p, rowName{entity, id}), entity != "" && id != "" && len(*p) < maxRepeats)
		},
	})
}

// WebSocketURL declares the address of a server's WebSocket.
func (t *flagTable) WebSocketURL(p *string, name, initial, meaning string) *setting {
	*p = initial
	return t.add(&setting{
		name: name, unit: "URL", initial: initial, meaning: meaning,
		accepts: "a WebSocket URL such as ws://127.0.0.1:4322 or wss://live.example.com",
		store:   func(text string) bool { return store(p, text, isWebSocketURL(text)) },
	})
}

func isWebSocketURL(text string) bool {
	u, err := url.ParseRequestURI(text)
	return err == nil && (u.Scheme == "ws" || u.Scheme == "wss") && u.Hostname() != "" && u.User == nil
}
