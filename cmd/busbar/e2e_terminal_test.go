package main

import (
	"bytes"
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// useTerminal has the server's standard output be a pseudoterminal (pty(7)).
func (d *daemon) useTerminal() {
	d.t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		d.t.Fatal(err)
	}
	d.t.Cleanup(func() { master.Close() })
	if err := unix.IoctlSetPointerInt(int(master.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		d.t.Fatalf("unlocking a terminal: %v", err)
	}
	number, err := unix.IoctlGetInt(int(master.Fd()), unix.TIOCGPTN)
	if err != nil {
		d.t.Fatalf("asking for a terminal's number: %v", err)
	}
	terminal, err := os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		d.t.Fatal(err)
	}
	d.t.Cleanup(func() { terminal.Close() }) // the reader ends once nobody has it open
	d.cmd.Stdout = terminal
	go copyLines(d.out, master)
}

// copyLines copies until the other end is closed, with line feeds as programs write them.
func copyLines(to io.Writer, from io.Reader) {
	buffer := make([]byte, 64<<10)
	for {
		n, err := from.Read(buffer)
		_, _ = to.Write(bytes.ReplaceAll(buffer[:n], []byte("\r\n"), []byte("\n")))
		if err != nil { // EIO once nobody has the terminal open
			return
		}
	}
}
