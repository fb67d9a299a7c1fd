package doctor

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"syscall"

	"github.com/busbar-ws/busbar/internal/cli"
	"github.com/busbar-ws/busbar/internal/datadir"
)

// examineDataDir says whether a server could keep its files at path. Nothing is made
// there: access(2) is asked, which knows of access lists and read-only mounts.
func examineDataDir(path string, locks []byte) finding {
	f := finding{Verdict: fine, Name: "data directory", Value: path, Meaning: "It can be written to."}
	at, err := existingPart(path)
	if err == nil {
		err = mayWrite(at)
	}
	switch {
	case err != nil:
		f.Verdict = fail
		f.Meaning = datadir.Unusable(path, "write to", err).Error()
		if errors.Is(err, fs.ErrPermission) {
			f.Fix = []string{fmt.Sprintf("install -d -m 700 -o %d %s", os.Geteuid(), path)}
		}
	case at != filepath.Clean(path):
		f.Meaning = fmt.Sprintf("It doesn't exist, and can be made in %s.", at)
	case serving(path, locks):
		f.Meaning = "A busbar serves from it."
	}
	return f
}

// existingPart is path, or the nearest directory above it that exists.
func existingPart(path string) (string, error) {
	if path == "" {
		return "", fs.ErrInvalid
	}
	for path = filepath.Clean(path); ; path = filepath.Dir(path) {
		info, err := os.Stat(path)
		switch {
		case err == nil && !info.IsDir():
			return "", syscall.ENOTDIR
		case err == nil:
			return path, nil
		case !errors.Is(err, fs.ErrNotExist) || path == filepath.Dir(path):
			return "", err
		}
	}
}

// mayWrite asks for the effective user, as open(2) would.
func mayWrite(dir string) error {
	const atFDCWD, atEAccess, writeAndEnter = -100, 0x200, 2 | 1
	return syscall.Faccessat(atFDCWD, dir, writeAndEnter, atEAccess)
}

// serving says whether a server has the directory's lock, without taking it.
func serving(data string, locks []byte) bool {
	info, err := os.Stat(datadir.Dir(data).LockFile())
	if err != nil {
		return false
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	return ok && lockHeld(locks, stat.Ino)
}

// examinePort listens at the address for a moment: only that shows all that can be
// wrong with it, also a port below 1024 or an address that isn't this host's.
func examinePort(flagName, address, data string, locks []byte) finding {
	f := finding{Verdict: fine, Name: flagName, Value: address, Meaning: "The port is free."}
	listener, err := net.Listen("tcp", address)
	if err == nil {
		listener.Close()
		return f
	}
	cause := cli.Errno(err)
	inUse := errors.Is(cause, syscall.EADDRINUSE)
	if inUse && serving(data, locks) {
		f.Meaning = "The port is in use; by the busbar that serves from the data directory, it seems."
		return f
	}
	f.Verdict, f.Meaning = fail, fmt.Sprintf("A server can't listen there: %v.", cause)
	switch {
	case inUse:
		f.Fix = []string{fmt.Sprintf("ss -ltnp 'sport = :%s'   # shows who does", portIn(address))}
	case errors.Is(cause, syscall.EACCES):
		f.Fix = []string{"sysctl -w net.ipv4.ip_unprivileged_port_start=" + portIn(address)}
	}
	return f
}

func portIn(address string) string {
	_, port, _ := net.SplitHostPort(address)
	return port
}

// examineProxies judges whom -trusted-proxies trusts, and whether as many connections as
// are meant can come from there.
func examineProxies(trusted []netip.Prefix, listen string, connections int64) finding {
	f := finding{Verdict: fine, Name: "-trusted-proxies", Value: cli.FormatPrefixes(trusted)}
	if p, ok := TrustsEverybody(trusted); ok {
		f.Verdict = warn
		f.Meaning = fmt.Sprintf("%s is everybody: whoever reaches the port can claim any address, and -max-per-ip bounds nobody.", p)
		f.Fix = []string{"busbar -trusted-proxies ADDRESS,ADDRESS   # the proxies' own"}
		return f
	}
	f.Meaning = "What they say of a client's address is believed."
	addresses, counted := proxyAddresses(trusted)
	if !counted || everyAddress(listen) {
		return f
	}
	if most := int64(addresses) * portsOfAnAddress; connections > most {
		f.tooFew(fmt.Sprintf(" %s can have at most %d connections to %s. %d take %d addresses there, or -listen on every address "+
			"of this host, and proxies that use several of them.",
			cli.Plural(addresses, "address", "addresses"), most, listen, connections, (connections+portsOfAnAddress-1)/portsOfAnAddress), "busbar -trusted-proxies ADDRESS,ADDRESS -listen :"+portIn(listen))
	}
	return f
}

// TrustsEverybody finds the entry of a list that has all addresses.
func TrustsEverybody(trusted []netip.Prefix) (everybody netip.Prefix, ok bool) {
	for _, p := range trusted {
		if p.Bits() == 0 {
			return p, true
		}
	}
	return netip.Prefix{}, false
}

// proxyAddresses is how many addresses a list has, when there are no networks on it.
func proxyAddresses(trusted []netip.Prefix) (n int, counted bool) {
	for _, p := range trusted {
		if !p.IsSingleIP() {
			return 0, false
		}
	}
	return len(trusted), true
}

// everyAddress is whether a listener has more addresses than one.
func everyAddress(listen string) bool {
	host, _, _ := net.SplitHostPort(listen)
	addr, err := netip.ParseAddr(host)
	return host == "" || err == nil && addr.IsUnspecified()
}
