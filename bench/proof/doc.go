// Package proof shows that a Busbar daemon stays whole: Soak lets clients of every manner come
// and go for as long as one likes and looks whether anything is left of them, Chaos takes away
// what the daemon stands on. Both start the daemon as a process of its own with a real data
// directory, talk to it over sockets and HTTP alone, and check all along that every client
// that reads gets each message exactly once and in order.
//
// What a client is owed is told by streams: sequences of numbered messages. A Book has all of
// them, and an account for each connection says which it gets and how far it has come.
package proof
