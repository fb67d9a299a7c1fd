//go:build filemax

package eventloop

import (
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

const fileMaxPath = "/proc/sys/fs/file-max"

// TestFullFileTable lets the host run out of files, for which it lowers fs.file-max. It
// needs root, and a machine that nobody else uses, such as a small VM: build it with the tag
// filemax for there. The server runs as nobody, since root isn't held to the limit.
func TestFullFileTable(t *testing.T) {
	before, err := os.ReadFile(fileMaxPath)
	must(t, err)
	restore := func() { must(t, os.WriteFile(fileMaxPath, before, 0)) }
	defer restore()
	s := startFewServer(t, 4000, func(cmd *exec.Cmd) {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	})
	var in []*peer
	for range 20 {
		in = append(in, dial(t, s.engine, ""))
	}
	in = fillSlowly(t, s, in, restore)
	fillAtOnce(t, s, in, restore)
}

// fillSlowly takes the host's files a few at a time, half the margin from one look of the
// server's to the next: newcomers have to wait, and no accept fails.
func fillSlowly(t *testing.T, s *fewServer, in []*peer, restore func()) []*peer {
	used, _ := hostFiles(t)
	const more = 2000
	setFileMax(t, used+more)
	step := int(margin(uint64(used+more), runtime.NumCPU())) / 20
	var files hog
	defer files.release()
	var late []*peer
	pace := time.NewTicker(tick / 10)
	defer pace.Stop()
	for s.publish("shuts") == 0 {
		<-pace.C
		for range step {
			fd, err := unix.Open("/dev/null", unix.O_RDONLY|unix.O_CLOEXEC, 0)
			must(t, err)
			files = append(files, fd)
		}
		if len(files)%(4*step) == 0 {
			p := connect(t, s.engine)
			p.write(request(""))
			late = append(late, p)
		}
	}
	used, limit := hostFiles(t)
	t.Logf("newcomers wait with %d files of %d open and %d connections", used, limit, s.publish("count"))
	s.reach(in[:20], "nearly full")
	if n := s.publish("errors"); n != 0 {
		t.Errorf("%d accepts have failed", n)
	}
	files.release()
	restore()
	for _, p := range late {
		p.upgraded()
	}
	return in
}

// fillAtOnce takes all room away while clients come, until an accept has failed: quicker
// than anybody can look.
func fillAtOnce(t *testing.T, s *fewServer, in []*peer, restore func()) {
	failed := s.publish("errors")
	for round := 0; s.publish("errors") == failed; round++ {
		if round == 50 {
			t.Fatal("no accept has failed")
		}
		setFileMax(t, 1)
		var late []*peer
		for range 10 {
			p := connect(t, s.engine)
			p.write(request(""))
			late = append(late, p)
		}
		s.reach(in, fmt.Sprint("full ", round))
		restore()
		for _, p := range late {
			p.upgraded()
		}
		in = append(in, late...)
		s.reach(in, fmt.Sprint("room again ", round))
	}
	t.Logf("%d accepts have failed, and all %d clients are there", s.publish("errors")-failed, len(in))
}

func hostFiles(t *testing.T) (used, most int) {
	t.Helper()
	text, err := os.ReadFile("/proc/sys/fs/file-nr")
	must(t, err)
	words := strings.Fields(string(text))
	used, err = strconv.Atoi(words[0])
	must(t, err)
	most, err = strconv.Atoi(words[2])
	must(t, err)
	return used, most
}

func setFileMax(t *testing.T, most int) {
	t.Helper()
	must(t, os.WriteFile(fileMaxPath, []byte(strconv.Itoa(most)), 0))
}
