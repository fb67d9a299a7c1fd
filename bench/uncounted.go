package bench

// deliverApart is deliver for a client that nobody waits for. One that has come is waited
// for from when it has what all the others have.
func (s *swarm) deliverApart(m *member, seq uint64) {
	if m.role.is(stalled) {
		s.deliverStalled(m, seq)
		return
	}
	if m.role.is(unplaced) {
		m.role &^= unplaced
		m.position = newPosition(seq)
		s.report.Churn.Placed++
	}
	if m.position.take(seq, &s.report.Faults) {
		s.report.Deliveries++
		if seq >= s.recordFrom {
			s.report.Measured++
		}
	}
	if m.position.next >= s.tally.low {
		m.role &^= uncounted
		s.tally.join(m.position.next)
	}
}

// untally takes a client out of what others wait for.
func (s *swarm) untally(m *member) {
	if !m.role.is(uncounted) {
		s.tally.leave(m.position.next)
	}
	m.role |= uncounted
}

// behind is whether a client that nobody waits for lacks a message below end.
func (s *swarm) behind(end uint64) bool {
	for i := range s.members {
		m := &s.members[i]
		if m.state == open && m.role.is(uncounted) && !m.role.is(stalled) && m.position.next < end {
			return true
		}
	}
	return false
}

// lack counts what a client hasn't had of the messages below end.
func (s *swarm) lack(m *member, end uint64, r *Report) {
	here := m.state == open
	switch {
	case m.role.is(stalled) && !here:
	case m.role.is(stalled) && m.position.next >= end:
		r.Stalled.CaughtUp++
	case m.role.is(stalled):
		r.Stalled.Behind++
		r.Stalled.Lost += end - m.position.next
	case m.role.is(unplaced):
		if here && end > 0 {
			r.Churn.Silent++
		}
	case (here || m.state == ended) && m.position.next < end:
		r.Lost += end - m.position.next
	}
}
