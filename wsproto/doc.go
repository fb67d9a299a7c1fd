// Package wsproto is RFC 6455 and RFC 7692 for a server, on byte slices: the opening
// handshake, frames in, frames out, close codes, compression. It also reads the PROXY
// protocol header that a proxy in front may have put before all of that.
//
// It has no sockets, no goroutines and no clock; whoever calls it owns those.
// Functions are safe from any goroutine as long as their arguments are; the one
// type with state, Decoder, belongs to one goroutine.
package wsproto
