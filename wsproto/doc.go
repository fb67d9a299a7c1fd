// Package wsproto is RFC 6455 for a server, on byte slices: the opening
// handshake, frames in, frames out, close codes. It also reads the PROXY protocol
// header that a proxy in front may have put before all of that.
//
// It has no sockets, no goroutines and no clock; whoever calls it owns those.
// Functions are safe from any goroutine as long as their arguments are; the one
// type with state, Decoder, belongs to one goroutine.
package wsproto
