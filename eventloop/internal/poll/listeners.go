package poll

import (
	"bufio"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// findListeners finds the epoll sets in which the listeners of an address are, by what the kernel says
// of each descriptor (Documentation/filesystems/proc.rst, 3.8).
func findListeners(addr netip.AddrPort) (found []*AcceptPause, err error) {
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return nil, err
	}
	for _, entry := range entries {
		fd, err := strconv.Atoi(entry.Name())
		if err != nil || !isEpoll(entry.Name()) {
			continue
		}
		for _, w := range watchedBy(fd) {
			if listensOn(w.fd, addr) {
				found = append(found, newAcceptPause(fd, w.fd, w.events, w.data))
			}
		}
	}
	return found, nil
}

func isEpoll(fd string) bool {
	what, err := os.Readlink("/proc/self/fd/" + fd)
	return err == nil && what == "anon_inode:[eventpoll]"
}

// watched is a descriptor in an epoll set.
type watched struct {
	fd     int
	events uint32
	data   uint64
}

// watchedBy is what an epoll set watches. There are lines of other kinds, which say other
// things about the set.
func watchedBy(epoll int) (all []watched) {
	f, err := os.Open(fmt.Sprintf("/proc/self/fdinfo/%d", epoll))
	if err != nil {
		return nil
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		if w, ok := parseWatched(lines.Text()); ok {
			all = append(all, w)
		}
	}
	return all
}

// parseWatched reads a line such as
//
//	tfd:        5 events:       1d data: ffffffffffffffff pos:0 ino:61af sdev:7
func parseWatched(line string) (w watched, ok bool) {
	words := strings.Fields(line)
	if len(words) < 6 || words[0] != "tfd:" || words[2] != "events:" || words[4] != "data:" {
		return w, false
	}
	fd, err := strconv.Atoi(words[1])
	events, err2 := strconv.ParseUint(words[3], 16, 32)
	data, err3 := strconv.ParseUint(words[5], 16, 64)
	return watched{fd, uint32(events), data}, errors.Join(err, err2, err3) == nil
}

// listensOn is true for a listening socket of that address.
func listensOn(fd int, addr netip.AddrPort) bool {
	listening, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_ACCEPTCONN)
	if err != nil || listening == 0 {
		return false
	}
	name, err := unix.Getsockname(fd)
	if err != nil {
		return false
	}
	var at netip.AddrPort
	switch name := name.(type) {
	case *unix.SockaddrInet4:
		at = netip.AddrPortFrom(netip.AddrFrom4(name.Addr), uint16(name.Port))
	case *unix.SockaddrInet6:
		at = netip.AddrPortFrom(netip.AddrFrom16(name.Addr).Unmap(), uint16(name.Port))
	}
	want := addr.Addr().WithZone("").Unmap()
	return at.Port() == addr.Port() && (at.Addr() == want || at.Addr().IsUnspecified() && want.IsUnspecified())
}
