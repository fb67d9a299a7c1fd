// Package eventloop owns every socket: gnet's event loops, one per shard, each with
// its clients, its subscriptions, its log of broadcasts and its timers.
//
// Nothing but its loop touches a Client or a Loop; there are no locks on the data
// path. There is one way in from outside: a loop's mailbox, filled by Engine's
// methods, which are safe from any goroutine. What a message means is not known
// here; the package is told what to do by a Handler, whose methods are called on
// the loops.
//
// The way of a message out:
//
//	Engine.Publish → mailbox.putFrame → Loop.drain → broadcastLog.append or sendQueue.push → Loop.flush → send
//
// and in:
//
//	gnet → Engine.OnTraffic → Loop.readFrames → wsproto.Decoder → Handler.Message
package eventloop
