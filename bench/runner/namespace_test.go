package runner

import (
	"errors"
	"net"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// namespaceOrReason opens a namespace, and is nil for who isn't root and is told so: then
// there is nothing more to test.
func namespaceOrReason(t *testing.T, addresses int) *Namespace {
	t.Helper()
	n, err := OpenNamespace(addresses)
	if os.Geteuid() != 0 {
		expectNeedsRoot(t, err)
		return nil
	}
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func expectNeedsRoot(t *testing.T, err error) {
	t.Helper()
	if !errors.Is(err, unix.EPERM) || !strings.Contains(err.Error(), "needs root") {
		t.Errorf("without the right to: %v", err)
	}
}

// network is the namespace that the calling thread is in.
func network(t *testing.T) string {
	t.Helper()
	name, err := os.Readlink(networkOfThread)
	if err != nil {
		t.Fatal(err)
	}
	return name
}

func TestNamespaceHasItsOwnNetworkAndLeavesNothing(t *testing.T) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	home := network(t)
	n := namespaceOrReason(t, 3)
	if n == nil {
		return
	}
	var out strings.Builder
	cmd := exec.Command("ip", "-brief", "-4", "address")
	cmd.Stdout = &out
	if err := errors.Join(n.Do(cmd.Start), cmd.Wait()); err != nil {
		t.Fatal(err)
	}
	address := n.server
	for range 3 {
		address = address.Next()
		if !strings.Contains(out.String(), address.String()+"/24") {
			t.Errorf("%v isn't an address in there: %s", address, out.String())
		}
	}
	if strings.Contains(out.String(), n.Host()) {
		t.Errorf("the server's address %s is in there: %s", n.Host(), out.String())
	}
	l, err := net.Listen("tcp", net.JoinHostPort(n.Host(), "0"))
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	if now := network(t); now != home {
		t.Errorf("this thread was left in %s, and came from %s", now, home)
	}
	if err := n.Close(); err != nil {
		t.Error(err)
	}
	if _, err := net.InterfaceByName(n.name); err == nil {
		t.Errorf("%s is still there", n.name)
	}
}

// Two benches at the same time have a network each.
func TestNamespacesSideBySide(t *testing.T) {
	a := namespaceOrReason(t, 1)
	if a == nil {
		return
	}
	b := namespaceOrReason(t, 1)
	if a.Host() == b.Host() {
		t.Errorf("both are at %s", a.Host())
	}
	if err := errors.Join(a.Close(), b.Close()); err != nil {
		t.Error(err)
	}
}

func TestNamespaceThatCannotBeMade(t *testing.T) {
	if n, err := OpenNamespace(maxApart + 1); err == nil {
		t.Errorf("%d addresses of a /24: %v", maxApart+1, n.Close())
	}
	withoutCapabilities(t, func() {
		_, err := OpenNamespace(1)
		expectNeedsRoot(t, err)
	})
}

// withoutCapabilities calls f on a thread that root's rights have been taken from.
func withoutCapabilities(t *testing.T, f func()) {
	t.Helper()
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	head := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var all [2]unix.CapUserData
	if err := unix.Capget(&head, &all[0]); err != nil {
		t.Fatal(err)
	}
	none := all
	none[0].Effective, none[1].Effective = 0, 0
	if err := unix.Capset(&head, &none[0]); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := unix.Capset(&head, &all[0]); err != nil {
			t.Error(err)
		}
	}()
	f()
}
