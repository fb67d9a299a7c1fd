package bench

import "time"

// moment is all that is measured of a server, at one time.
type moment struct {
	at    int64
	cpu   CPU
	stats ServerStats
}

// countPatience bounds the wait for a server to count what its clients have already.
const countPatience = 250 * time.Millisecond

// measure looks at the server when it is through with so many messages since its start: the
// clients may have the last one before the server has counted it and gone to rest. Of a
// server that counts otherwise that is asked for once, so that asking isn't what is measured.
func (s *session) measure(messages uint64) (moment, error) {
	return s.measureAt(int64(messages) * int64(s.opts.Load.Clients))
}

// measureAt is measure for a server that is to be through with so many deliveries.
func (s *session) measureAt(due int64) (moment, error) {
	began := now()
	for {
		stats, err := s.server.control.Stats()
		if err != nil {
			return moment{}, err
		}
		late := now()-began > int64(countPatience)
		if stats.Deliveries != due && s.counts && !late {
			sleepUntil(now() + int64(time.Millisecond))
			continue
		}
		s.counts = stats.Deliveries == due
		cpu, err := s.meter.read()
		return moment{at: now(), cpu: cpu, stats: stats}, err
	}
}
