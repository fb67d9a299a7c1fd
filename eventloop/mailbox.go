package eventloop

// entry is one thing in a mailbox, which is the only way into a loop: a frame for an audience,
// or a task.
type entry struct {
	frame    *Frame
	audience *Audience // nil: everyone. A task's: connections that aren't open included

	visit  func(*Client) // a task for each client of the audience, ahead of run
	run    func(*Loop)   // one for the loop
	client func(*Client) // one for the client of that id, when it is still there
	id     uint64
}

// Dropped says what a full mailbox let go of, by what it was. Who was to be given something
// reliable is told (Handler.LossNotice).
type Dropped struct {
	Lossy    int  // presence and relays
	Reliable int  // change events, row frames and binary messages
	Refused  bool // it is the message itself, which no loop got: there is no room (MemoryOptions.BufferBytes)
}

func (d *Dropped) add(o Dropped) { d.Lossy += o.Lossy; d.Reliable += o.Reliable }

// Any is true when something was dropped.
func (d Dropped) Any() bool { return d.Lossy+d.Reliable > 0 }

// letGo is called by the mailbox for what it has no place for.
func (l *Loop) letGo(e entry) {
	switch {
	case e.frame == nil:
	case e.frame.Lossy:
		l.mailbox.unseen.note(e.frame, e.audience)
	default:
		l.mailbox.lost.note(e.frame, e.audience)
	}
}
