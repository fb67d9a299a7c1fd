package eventloop

import (
	"flag"
	"fmt"
	"maps"
	"net"
	"os"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/sys/unix"

	"github.com/busbar-ws/busbar/internal/leaks"
)

// TestMain is two programs: the tests, which fail when they leave a goroutine or a
// descriptor behind, and the process with few descriptors that one of them needs.
func TestMain(m *testing.M) {
	if os.Getenv(fewDescriptors) != "" {
		os.Exit(serveWithFewDescriptors())
	}
	openPoller()
	before := descriptors()
	ignored := goleak.IgnoreCurrent()  // gnet starts a worker pool when it is imported
	_ = flag.Set("test.parallel", "8") // most tests wait; -parallel overrides it
	code := m.Run()
	if code != 0 {
		os.Exit(code)
	}
	if err := leaks.Goroutines(ignored, leaks.IdleWorkers); err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	if leaked := leakedSince(before); len(leaked) > 0 {
		for fd, what := range leaked {
			fmt.Fprintf(os.Stderr, "leaked descriptor %d: %s\n", fd, what)
		}
		code = 1
	}
	os.Exit(code)
}

// openPoller has the Go runtime open its epoll set, which stays open.
func openPoller() {
	if ln, err := net.Listen("tcp", "127.0.0.1:0"); err == nil {
		ln.Close()
	}
}

// descriptors are what is open, and what each is.
func descriptors() map[int]string {
	open := make(map[int]string)
	entries, _ := os.ReadDir("/proc/self/fd")
	for _, e := range entries {
		var fd int
		fmt.Sscan(e.Name(), &fd)
		if what, err := os.Readlink("/proc/self/fd/" + e.Name()); err == nil {
			open[fd] = what
		}
	}
	return open
}

// leakedSince waits a little: the kernel closes what a dying process held when it can.
func leakedSince(before map[int]string) map[int]string {
	var leaked map[int]string
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); {
		leaked = descriptors()
		maps.DeleteFunc(leaked, func(fd int, what string) bool { return before[fd] == what })
		if len(leaked) == 0 {
			return nil
		}
		<-time.After(20 * time.Millisecond)
	}
	for fd, what := range leaked {
		leaked[fd] = what + socketNames(fd)
	}
	return leaked
}

func socketNames(fd int) (names string) {
	if local, err := unix.Getsockname(fd); err == nil {
		names += " local " + sockaddr(local)
	}
	if peer, err := unix.Getpeername(fd); err == nil {
		names += " peer " + sockaddr(peer)
	}
	return names
}

func sockaddr(sa unix.Sockaddr) string {
	if a, ok := sa.(*unix.SockaddrInet4); ok {
		return fmt.Sprintf("%v:%d", net.IP(a.Addr[:]), a.Port)
	}
	return fmt.Sprintf("%T", sa)
}
