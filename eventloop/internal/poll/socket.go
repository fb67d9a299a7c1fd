package poll

import (
	"fmt"
	"math"

	"golang.org/x/sys/unix"
)

// Unacknowledged is how many bytes of what was sent to a socket its peer's kernel doesn't have yet,
// the end of our half included (SIOCOUTQ, tcp(7)).
func Unacknowledged(fd int32) uint32 {
	n, err := unix.IoctlGetInt(int(fd), unix.SIOCOUTQ)
	if err != nil {
		return 0 // the connection has broken, which a read or write will find
	}
	return uint32(min(n, math.MaxInt32))
}

// Unread is whether a socket holds bytes that its loop hasn't got round to (SIOCINQ, tcp(7)).
func Unread(fd int32) bool {
	n, err := unix.IoctlGetInt(int(fd), unix.TIOCINQ)
	return err == nil && n > 0
}

// ShutWrite tells the peer that nothing more comes. ok is false when the connection has broken.
func ShutWrite(fd int32) (ok bool) { return unix.Shutdown(int(fd), unix.SHUT_WR) == nil }

// DescriptorLimit lifts the soft limit to the hard one and returns it.
func DescriptorLimit() (int, error) {
	var r unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &r); err != nil {
		return 0, fmt.Errorf("reading the descriptor limit: %w", err)
	}
	if r.Cur < r.Max {
		raised := unix.Rlimit{Cur: r.Max, Max: r.Max}
		if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &raised); err == nil {
			r = raised
		}
	}
	const most = 1 << 30
	return int(min(r.Cur, most)), nil
}
