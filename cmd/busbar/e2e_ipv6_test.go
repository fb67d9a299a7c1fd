package main

import (
	"os"
	"os/exec"
	"runtime"
	"syscall"
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
