//go:build race || racedaemon

package wstest

// RaceEnabled says that the test runs under the race detector, or (tag racedaemon) the daemon that it
// starts, which takes ten times the time and memory: crowds are smaller, and nothing is weighed. A
// test that asks for it, in its own body, is run without the detector too (scripts/heavy).
const RaceEnabled = true
