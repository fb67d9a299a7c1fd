//go:build !race && !racedaemon

package wstest

// RaceEnabled: see race.go.
const RaceEnabled = false
