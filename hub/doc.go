// Package hub says what messages mean: who a connection speaks for, presence and topics
// that are relayed, rows that are subscribed, change events and the log that
// reconnecting clients pull from. It is the API for programs that embed the server.
//
// A Hub's methods are safe from any goroutine. None of them writes to a socket or waits
// for one: a message is encoded once and left in the mailboxes of the event loops, which
// write it (package eventloop). What the loops call back into runs on their goroutines;
// whatever is slow, an Authenticator's lookup, a SnapshotFetcher, the change log, waits in
// the hub's queues.
package hub
