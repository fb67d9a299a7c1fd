package main

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"

	"golang.org/x/sys/unix"
)

// becomeRaw puts raw/raw.c, which the script named build makes a program beside this one, in this
// one's place, and hands it the listeners.
func becomeRaw(name string, clients, control net.Listener) error {
	me, err := os.Executable()
	if err != nil {
		return fmt.Errorf("looking for its program: %w", err)
	}
	args := []string{filepath.Join(filepath.Dir(me), "peers-raw"), name}
	for _, ln := range []net.Listener{clients, control} {
		conn, err := ln.(*net.TCPListener).SyscallConn()
		if err != nil {
			return fmt.Errorf("reaching a listener's descriptor: %w", err)
		}
		var kept int
		var keeping error
		err = conn.Control(func(d uintptr) { kept, keeping = unix.FcntlInt(d, unix.F_DUPFD, 0) })
		if err := errors.Join(err, keeping); err != nil {
			return fmt.Errorf("keeping a listener: %w", err)
		}
		args = append(args, strconv.Itoa(kept))
	}
	if err := unix.Exec(args[0], args, os.Environ()); err != nil {
		return fmt.Errorf("starting %s: %w; bench/peers/build makes it where there is a C compiler", args[0], err)
	}
	return nil
}
