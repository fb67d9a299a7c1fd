package rates

import "time"

// Meters are what a loop's clients have used lately, by slot. Owned by the loop. A client that has sent nothing
// lately has no meter: an idle connection costs none of it.
type Meters struct {
	Now time.Duration // as of the last bytes

	limiter *Limiter
	open    map[uint32]*Meter // nil for a client that isn't metered
	peak    int               // the most there were since the map was made: maps don't shrink
}

// NewMeters are none yet.
func NewMeters(limiter *Limiter) Meters {
	return Meters{limiter: limiter, open: make(map[uint32]*Meter)}
}

// Limiter is what the meters go by.
func (m *Meters) Limiter() *Limiter { return m.limiter }

// Restart has the clients go by another limiter, of which nothing has been used.
func (m *Meters) Restart(limiter *Limiter, now time.Duration) {
	for slot := range m.open {
		m.Free(slot, now)
	}
	m.limiter = limiter
}

// Len is how many there are.
func (m *Meters) Len() int { return len(m.open) }

// Find is a client's meter, and whether it is known, or known to have none.
func (m *Meters) Find(slot uint32) (meter *Meter, known bool) {
	meter, known = m.open[slot]
	return meter, known
}

// Keep keeps a client's meter, nil when it isn't metered.
func (m *Meters) Keep(slot uint32, meter *Meter) {
	m.open[slot] = meter
	m.peak = max(m.peak, len(m.open))
}

// Free lets a client's meter go, if it has one.
func (m *Meters) Free(slot uint32, now time.Duration) {
	meter, known := m.open[slot]
	if !known {
		return
	}
	delete(m.open, slot)
	if meter != nil {
		m.limiter.Close(meter, now)
	}
}

// Sweep lets go of meters that aren't needed. A map yields its entries from a random place on, so one of
// so many parts of them each time comes by every one soon, and one sweep of very many stays short.
func (m *Meters) Sweep(now time.Duration, parts int) {
	left := len(m.open)/parts + 1
	for slot, meter := range m.open {
		if meter == nil || m.limiter.Idle(meter, now) {
			m.Free(slot, now)
		}
		if left--; left == 0 {
			break
		}
	}
	const keep = 1024
	if len(m.open) == 0 && m.peak > keep {
		m.open, m.peak = make(map[uint32]*Meter), 0
	}
}
