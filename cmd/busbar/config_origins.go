package main

import (
	"strings"

	"github.com/busbar-ws/busbar/hub"
)

// Origins declares a list of origins that are allowed, separated by commas. Blank entries
// are left out.
func (t *flagTable) Origins(p *hub.Origins, name, meaning string) *setting {
	return t.add(&setting{
		name: name, unit: "list", meaning: meaning,
		accepts: `a list of origins such as https://app.example.com,https://*.example.com, or *`,
		store: func(text string) bool {
			var entries []string
			for entry := range strings.SplitSeq(text, ",") {
				if entry = strings.TrimSpace(entry); entry != "" {
					entries = append(entries, entry)
				}
			}
			origins, err := hub.ParseOrigins(entries)
			return store(p, origins, err == nil)
		},
	})
}
