package main

import (
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

// withoutIPv6 is the variable that makes this program run another one as if on a kernel without IPv6.
const withoutIPv6 = "TEST_WITHOUT_IPV6"

// execWithoutIPv6 becomes the program in args, for which socket(AF_INET6) fails as it does with
// ipv6.disable=1: a seccomp filter stays over execve.
func execWithoutIPv6(args []string) error {
	runtime.LockOSThread() // a filter is its thread's
	const nr, firstArgument = 0, 16
	load := uint16(unix.BPF_LD | unix.BPF_W | unix.BPF_ABS)
	jump := uint16(unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K)
	answer := uint16(unix.BPF_RET | unix.BPF_K)
	filter := []unix.SockFilter{
		{Code: load, K: nr},
		{Code: jump, K: unix.SYS_SOCKET, Jf: 3},
		{Code: load, K: firstArgument},
		{Code: jump, K: unix.AF_INET6, Jf: 1},
		{Code: answer, K: unix.SECCOMP_RET_ERRNO | uint32(unix.EAFNOSUPPORT)},
		{Code: answer, K: unix.SECCOMP_RET_ALLOW},
	}
	program := unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return err
	}
	if _, _, e := unix.Syscall(unix.SYS_PRCTL, unix.PR_SET_SECCOMP, unix.SECCOMP_MODE_FILTER, uintptr(unsafe.Pointer(&program))); e != 0 {
		return e
	}
	path, err := exec.LookPath(args[0])
	if err != nil {
		return err
	}
	return syscall.Exec(path, args, os.Environ())
}

// Where the kernel has no IPv6, ":PORT" means every IPv4 address, and the server says so.
func TestStartWithoutIPv6(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	elsewhere := launch{inside: []string{self}, env: []string{withoutIPv6 + "=1"}, args: []string{"-listen", ":0", "-api", ":0"}}
	d := elsewhere.start(t)
	d.connect(d.session("alice"))
	if status := d.call("GET", "/readyz", "", "").status; status != 200 {
		t.Errorf("/readyz: %d", status)
	}
	if n := strings.Count(d.out.String(), "(listening on every IPv4 address: there is no IPv6 here)"); n != 2 {
		t.Errorf("%d of 2 addresses are said to be IPv4's alone:\n%s", n, d.out.String())
	}
	// An address that is IPv6's is an error, not another one.
	elsewhere.args = []string{"-data", t.TempDir(), "-api", "127.0.0.1:0", "-listen", "[::1]:0"}
	o, e, code := elsewhere.run(t)
	if code != exitFailure || !strings.Contains(e, "-listen: listening on [::1]:0: ") {
		t.Errorf("[::1]: code %d, %s%s", code, o, e)
	}
}

// Where IPv6 is there but switched off (net.ipv6.conf.all.disable_ipv6), ":PORT" takes whoever comes by IPv4.
func TestStartWithIPv6SwitchedOff(t *testing.T) {
	const inside = "sysctl -qw net.ipv6.conf.all.disable_ipv6=1 && ip link set lo up && exec \"$@\""
	d := launch{
		inside: []string{"unshare", "--user", "--map-root-user", "--net", "sh", "-c", inside, "sh"},
		args:   []string{"-listen", ":0", "-api", ":0"},
	}.start(t)
	for _, address := range []string{d.ws, d.api} {
		out, err := exec.Command("nsenter", "--user", "--preserve-credentials", "--net", "-t", strconv.Itoa(d.cmd.Process.Pid),
			"curl", "-sf", fmt.Sprintf("http://%s/healthz", address)).CombinedOutput()
		if err != nil {
			t.Errorf("http://%s: %v %s", address, err, out)
		}
	}
}
