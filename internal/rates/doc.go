// Package rates says how much a connection may ask of a server, and when it asks for so
// much more that it has to go. It knows no sockets, no goroutines and no clock: every call
// is told the time, as what has passed since any fixed moment.
//
// A connection has a bucket of tokens for each kind of thing that costs something. What
// finds no token is refused: the caller drops it and counts it. A connection of which too
// much is refused within Window is an abuser.
//
// Connections of one user and of one address also draw on an account that they share, so
// that having many multiplies nobody's allowance without bound. Accounts outlive
// connections until they are full again: leaving and coming back fills none.
package rates
