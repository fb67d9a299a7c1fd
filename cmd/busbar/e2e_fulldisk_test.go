package main

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"syscall"
	"testing"
)

// mountSmall mounts a file system of so many bytes at dir, in a namespace that lasts as long as the
// test, and returns the command that runs another one there.
func mountSmall(t *testing.T, dir string, bytes int) (inside []string, pid int) {
	t.Helper()
	mount := fmt.Sprintf("mount -t tmpfs -o mode=0700,size=%d busbar-test \"$1\" && echo mounted && read ended", bytes)
	holder := exec.Command("unshare", "--user", "--map-root-user", "--mount", "sh", "-c", mount, "sh", dir)
	holder.Stderr = os.Stderr
	holder.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	end, err := holder.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := holder.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := holder.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		end.Close()
		_ = holder.Wait()
	})
	if line, err := bufio.NewReader(out).ReadString('\n'); line != "mounted\n" {
		t.Fatalf("mounting a small file system: %q, %v", line, err)
	}
	pid = holder.Process.Pid
	return []string{"nsenter", "--user", "--mount", "--preserve-credentials", "-t", strconv.Itoa(pid)}, pid
}

// docs/protocol.md section 3: seq never goes back after a crash, also when there was no room on the disk from before
// the first event on.
func TestSeqOutlivesACrashOnAFullDisk(t *testing.T) {
	dir, token := t.TempDir(), "environment-token-0123456789"
	inside, holder := mountSmall(t, dir, 1<<20)
	l := launch{inside: inside, env: []string{"BUSBAR_ADMIN_TOKEN=" + token}, args: []string{"-auth", "none", "-data", dir}}
	d := l.start(t)
	d.admin = token
	err := os.WriteFile(fmt.Sprintf("/proc/%d/root%s/filler", holder, dir), make([]byte, 2<<20), 0o600)
	if !errors.Is(err, syscall.ENOSPC) {
		t.Fatalf("filling the disk: %v", err)
	}
	first := d.publish("t_1")
	d.crash()
	d = l.start(t)
	d.admin = token
	if second := d.publish("t_2"); second <= first {
		t.Errorf("seq %d after a crash at %d", second, first)
	}
	d.stop()
}
