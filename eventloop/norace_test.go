//go:build !race

package eventloop

// raceEnabled: see race_test.go.
const raceEnabled = false
