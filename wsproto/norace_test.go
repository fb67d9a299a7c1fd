//go:build !race

package wsproto

// raceEnabled: see race_test.go.
const raceEnabled = false
