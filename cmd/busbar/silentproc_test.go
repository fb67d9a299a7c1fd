package main

import (
	"fmt"
	"io"
	"net/netip"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// silentCrowd, in the environment, makes this program the process that connects and says
// nothing: address, how many connections, and from how many addresses.
const silentCrowd = "BUSBAR_TEST_SILENT_CROWD"

// beSilent connects, prints "connected", waits until the server has ended every connection,
// and prints "ended". Descriptors are the process's own, apart from the test's and the server's.
func beSilent(out io.Writer) error {
	var server string
	var count, sources int
	if _, err := fmt.Sscan(os.Getenv(silentCrowd), &server, &count, &sources); err != nil {
		return fmt.Errorf("%s: %w", silentCrowd, err)
	}
	address, err := netip.ParseAddrPort(server)
	if err != nil {
		return err
	}
	open := make([]unix.PollFd, count)
	for i := range open {
		fd, err := connectSilently(address, byte(1+i%sources))
		if err != nil {
			return fmt.Errorf("connection %d: %w", i, err)
		}
		open[i] = unix.PollFd{Fd: int32(fd), Events: unix.POLLRDHUP}
	}
	fmt.Fprintln(out, "connected")
	for left := count; left > 0; {
		if _, err := unix.Poll(open, -1); err != nil && err != unix.EINTR {
			return err
		}
		for i := range open {
			if open[i].Fd >= 0 && open[i].Revents != 0 {
				unix.Close(int(open[i].Fd))
				open[i].Fd = -1 // poll(2) passes over it
				left--
			}
		}
	}
	fmt.Fprintln(out, "ended")
	return nil
}

func connectSilently(server netip.AddrPort, source byte) (int, error) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return 0, err
	}
	// The port is chosen when the connection is made, or each address had one only once.
	_ = unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_BIND_ADDRESS_NO_PORT, 1)
	if err = unix.Bind(fd, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 1, source}}); err == nil {
		err = unix.Connect(fd, &unix.SockaddrInet4{Addr: server.Addr().As4(), Port: int(server.Port())})
	}
	return fd, err
}

// descriptorsOf and residentOf look at another process.
func descriptorsOf(pid int) int {
	open, _ := os.ReadDir("/proc/" + strconv.Itoa(pid) + "/fd")
	return len(open)
}

func residentOf(pid int) int {
	statm, _ := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/statm")
	var size, resident int
	_, _ = fmt.Sscan(string(statm), &size, &resident)
	return resident * os.Getpagesize()
}
