//go:build race

package wsproto

// raceEnabled: the race detector takes ten times the time and memory, so crowds are smaller.
const raceEnabled = true
