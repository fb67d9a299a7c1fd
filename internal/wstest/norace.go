//go:build !race

package wstest

// RaceEnabled: see race.go.
const RaceEnabled = false
