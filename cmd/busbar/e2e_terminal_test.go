package main

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

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

// A live token is shown to whoever starts the server at a terminal, and gets into no file, pipe or journal.
func TestTokensArePrintedToTerminalsAlone(t *testing.T) {
	if d := (launch{terminal: true}).start(t); !strings.Contains(d.link, "/demo#token=") || !strings.Contains(d.out.String(), "(signed in for 1h)") {
		t.Errorf("to a terminal it prints\n%s", d.out)
	}
	d := startDaemon(t) // a pipe
	if !strings.HasSuffix(d.link, "/demo") || !strings.Contains(d.out.String(), "open this link (it asks for a token)\n") {
		t.Errorf("to a pipe it prints\n%s", d.out)
	}
	file, err := os.Create(filepath.Join(t.TempDir(), "out"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	cmd := launch{args: []string{"-data", t.TempDir(), "-listen", "127.0.0.1:0", "-api", "127.0.0.1:0"}}.command()
	cmd.Stdout = file
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var text []byte
	eventually(t, "the announcement", func() bool {
		text, _ = os.ReadFile(file.Name())
		return bytes.Contains(text, []byte("curl"))
	})
	_ = cmd.Process.Signal(syscall.SIGTERM)
	_ = cmd.Wait()
	if bytes.Contains(text, []byte("#token=")) || !bytes.Contains(text, []byte("/demo\n")) {
		t.Errorf("to a file it prints\n%s", text)
	}
}
