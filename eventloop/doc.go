// Package eventloop owns every socket: gnet's event loops, one per shard, each with
// its clients, its subscriptions, its log of broadcasts and its timers.
//
// Nothing but its loop touches a Client or a Loop; there are no locks on the data
// path. There is one way in from outside: a loop's mailbox, filled by Engine's
// methods, which are safe from any goroutine. What a message means is not known
// here; the package is told what to do by a Handler, whose methods are called on
// the loops.
//
// A connection's state changes through Loop.setState alone, by the table in state.go. There
// are three ways to end one, and every reason takes one of them:
//
//   - refuse: an upgrade request is answered with an HTTP status. The peer ends the connection.
//   - close: Close goes out behind all that the client is owed, or instead of it where that is too
//     much, and the peer's answer is awaited for closeWait. What it still sends is read as frames,
//     or, where that makes no sense any more, thrown away.
//   - abort: the socket is closed at once.
//
// The way of a message out:
//
//	Engine.Publish → mailbox.Put → Loop.drain → BroadcastLog.Append or SendQueue.Push → Loop.flush → send
//
// and in:
//
//	gnet → poll.Handler.Readable → Loop.readFrames → wsproto.Decoder → Handler.Message
package eventloop
