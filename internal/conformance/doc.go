// Package conformance holds the cases that show what RFC 6455 asks of a server, and the
// runner that tries each of them on the daemon with -echo, as it is built and over TCP, in
// every split of the stream. It is all tests: go test ./internal/conformance.
//
// A case is data: what a client sends, and all that must come back. See docs/conformance.md.
package conformance
