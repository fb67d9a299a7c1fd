// Package subs says who wants what: which clients of an event loop subscribed to a
// name (a topic, an entity, a row), and which loops have anyone interested in it.
//
// It knows no sockets, no goroutines and no clock. An [Index] belongs to one loop
// and has no locks. The [Table] that the indexes share may be read from any
// goroutine, so that a publisher wakes only the loops that have a subscriber.
//
// Names are opaque bytes. Neither their length nor the number of a client's
// subscriptions is limited here: the caller limits both before it subscribes
// (see [Index.CountOf]), because it is the caller who can tell the client.
package subs
