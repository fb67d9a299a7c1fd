package bench

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// reservedDescriptors are kept of a worker's limit for everything but clients.
const reservedDescriptors = 64

// raiseDescriptors lifts the soft limit of descriptors to the hard one and returns it.
func raiseDescriptors() (int, error) {
	var r unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &r); err != nil {
		return 0, fmt.Errorf("reading the descriptor limit: %w", err)
	}
	if r.Cur < r.Max {
		if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: r.Max, Max: r.Max}); err == nil {
			r.Cur = r.Max
		}
	}
	const most = 1 << 30
	return int(min(r.Cur, most)), nil
}

// serverHolds is an error when one process, the server, can't have that many clients.
func serverHolds(clients int) error {
	limit, err := raiseDescriptors()
	if err == nil && clients+reservedDescriptors > limit {
		err = fmt.Errorf("%w: clients: %d need as many descriptors in the server's process, whose limit is %d (ulimit -Hn)",
			ErrOptions, clients, limit)
	}
	return err
}

// workersFor is how many worker processes hold so many clients with a descriptor limit.
func workersFor(clients, limit int) (int, error) {
	room := limit - reservedDescriptors
	if room < 1 {
		return 0, fmt.Errorf("a limit of %d descriptors is too low for clients; raise it (ulimit -n)", limit)
	}
	return (clients + room - 1) / room, nil
}
