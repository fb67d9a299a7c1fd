package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
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

// docs/protocol.md section 5: on a full disk publishers are told, clients stay and can read, nothing that was acknowledged
// is lost, not by a crash either, and it recovers by itself.
func TestFullDisk(t *testing.T) {
	dir, token := t.TempDir(), "environment-token-0123456789"
	inside, holder := mountSmall(t, dir, 4<<20)
	l := launch{inside: inside, env: []string{"BUSBAR_ADMIN_TOKEN=" + token}, args: []string{"-data", dir}}
	start := func() *daemon {
		d := l.start(t)
		d.admin = token
		return d
	}
	d := start()
	c := d.connect(token)
	first := d.publish("t_1")
	filler := fmt.Sprintf("/proc/%d/root%s/filler", holder, dir)
	if err := os.WriteFile(filler, make([]byte, 8<<20), 0o600); !errors.Is(err, syscall.ENOSPC) {
		t.Fatalf("filling the disk: %v", err)
	}
	acknowledged := append([]uint64{first}, d.publishUntilFull()...)
	sessions, last := 0, reply{status: 201}
	for ; last.status == 201 || last.status == 200; sessions++ {
		last = d.call("POST", "/v1/sessions", d.admin, `{"user_id":"alice","ttl_seconds":60,"device":"`+strings.Repeat("x", 1000)+`"}`)
	}
	if last.status != 507 || !strings.Contains(last.body, `"SESSIONS_FULL"`) {
		t.Errorf("session %d: %d %s", sessions, last.status, last.body)
	}
	if body := d.pull(0); len(body) != len(acknowledged) {
		t.Errorf("%d events can be read, %d were acknowledged", len(body), len(acknowledged))
	}
	for _, want := range acknowledged {
		if m := waitChange(c); m.Seq != want {
			t.Errorf("a client got %d, want %d", m.Seq, want)
		}
	}
	if n := strings.Count(d.log.String(), "the change log stores nothing"); n != 1 {
		t.Errorf("logged %d times:\n%s", n, d.log)
	}
	if err := os.Remove(filler); err != nil {
		t.Fatal(err)
	}
	acknowledged = append(acknowledged, d.publish("t_2"))
	if m := waitChange(c); m.Seq != acknowledged[len(acknowledged)-1] {
		t.Errorf("a client got %d, want %d", m.Seq, acknowledged[len(acknowledged)-1])
	}
	if err := os.WriteFile(filler, make([]byte, 8<<20), 0o600); !errors.Is(err, syscall.ENOSPC) {
		t.Fatalf("filling the disk: %v", err)
	}
	acknowledged = append(acknowledged, d.publishUntilFull()...)
	d.crash()
	d = start() // the disk is as full
	var got []uint64
	for _, e := range d.pull(0) {
		got = append(got, e.Seq)
	}
	if !slices.Equal(got, acknowledged) {
		t.Errorf("after a crash there is %v, acknowledged was %v", got, acknowledged)
	}
	d.stop()
}

// publishUntilFull publishes until there is no room.
func (d *daemon) publishUntilFull() (seqs []uint64) {
	body := `{"entity":"Todo","row_id":"large","kind":"update","data":"` + strings.Repeat("x", 50_000) + `"}`
	for {
		r := d.call("POST", "/v1/changes", d.admin, body)
		var answer struct{ Seq uint64 }
		if r.status == 507 && strings.Contains(r.body, `"LOG_FULL"`) {
			return seqs
		}
		if err := json.Unmarshal([]byte(r.body), &answer); err != nil || r.status != 200 {
			d.t.Fatalf("%d %s", r.status, r.body)
		}
		seqs = append(seqs, answer.Seq)
	}
}
