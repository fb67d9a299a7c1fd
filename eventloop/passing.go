package eventloop

// letPass lets go of the frames that were for some clients only. Those clients have had
// their turn by now: who hasn't taken a frame holds it.
func (l *Loop) letPass() {
	for i, f := range l.passing {
		l.account.release(f)
		l.passing[i] = nil
	}
	l.passing = shrink(l.passing)[:0]
}

// letGoOfAll is called when the loop has ended: what it has for clients reaches nobody.
func (l *Loop) letGoOfAll() {
	entries := l.mailbox.end()
	for i := range entries {
		if f := entries[i].frame; f != nil {
			l.account.release(f)
		}
		if f := entries[i].task.frame; f != nil {
			l.account.release(f)
		}
	}
	l.letPass()
	l.broadcasts.forget()
	l.account.settle()
}
