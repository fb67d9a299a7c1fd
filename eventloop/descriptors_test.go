package eventloop

import (
	"bufio"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/gobwas/ws"
	"golang.org/x/sys/unix"
)

// fewDescriptors in the environment makes the test binary a server with so many.
const fewDescriptors = "BUSBAR_TEST_FEW_DESCRIPTORS"

// serveWithFewDescriptors is the other process: it publishes each line that it is sent
// and says how many connections there are. At the line hog it opens all descriptors that it
// can get, at release it closes them, and at errors it says how many accepts have failed, at
// count how many connections there are, and at shuts how often accepting was paused for want of descriptors.
func serveWithFewDescriptors() int {
	var limit uint64
	fmt.Sscan(os.Getenv(fewDescriptors), &limit)
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: limit, Max: limit}); err != nil {
		fmt.Println(err)
		return 1
	}
	e, err := New(&host{}, Options{Listen: "127.0.0.1:0", Loops: 2, Accept: AcceptOptions{Reserve: 12, MaxPerAddress: -1},
		Log: slog.New(slog.NewTextHandler(os.Stderr, nil))})
	if err == nil {
		err = e.Start()
	}
	if err != nil {
		fmt.Println(err)
		return 1
	}
	fmt.Println(e.Addr(), e.Capacity().Connections)
	var hog hog
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
		select {
		case <-e.Failed():
			fmt.Println("failed:", e.Err())
			return 1
		default:
		}
		switch lines.Text() {
		case "hog":
			fmt.Println(hog.take())
		case "release":
			fmt.Println(hog.release())
		case "errors":
			fmt.Println(e.Stats().AcceptErrors)
		case "count":
			fmt.Println(e.Connections())
		case "shuts":
			fmt.Println(e.Stats().AcceptPauses["descriptors"])
		default:
			e.Publish(text("%s", lines.Text()), nil)
			fmt.Println(e.Connections())
		}
	}
	e.Stop()
	return 0
}

// hog is descriptors that are open for no reason.
type hog []int

func (h *hog) take() (n int) {
	for {
		fd, err := unix.Open("/dev/null", unix.O_RDONLY|unix.O_CLOEXEC, 0)
		if err != nil {
			return len(*h)
		}
		*h = append(*h, fd)
	}
}

func (h *hog) release() (n int) {
	for _, fd := range *h {
		unix.Close(fd)
	}
	n, *h = len(*h), nil
	return n
}

// fewServer is that process as the test sees it.
type fewServer struct {
	t        *testing.T
	in       io.WriteCloser
	out      *bufio.Reader
	engine   *Engine // nothing but its address
	capacity int
}

func startFewServer(t *testing.T, limit int, tune ...func(*exec.Cmd)) *fewServer {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), fmt.Sprintf("%s=%d", fewDescriptors, limit))
	cmd.Stderr = os.Stderr
	for _, f := range tune {
		f(cmd)
	}
	in, err := cmd.StdinPipe()
	must(t, err)
	out, err := cmd.StdoutPipe()
	must(t, err)
	must(t, cmd.Start())
	s := &fewServer{t: t, in: in, out: bufio.NewReader(out)}
	t.Cleanup(func() {
		in.Close()
		if err := cmd.Wait(); err != nil {
			t.Errorf("the server ended with %v", err)
		}
	})
	var addr string
	line := s.line()
	if _, err = fmt.Sscan(line, &addr, &s.capacity); err != nil {
		t.Fatalf("the server said %q: %v", line, err)
	}
	s.engine = &Engine{addr: netip.MustParseAddrPort(addr)}
	return s
}

func (s *fewServer) line() string {
	s.t.Helper()
	line, err := s.out.ReadString('\n')
	must(s.t, err)
	return strings.TrimSpace(line)
}

// publish returns how many connections the server has.
func (s *fewServer) publish(message string) (connections int) {
	s.t.Helper()
	_, err := fmt.Fprintln(s.in, message)
	must(s.t, err)
	line := s.line()
	if _, err = fmt.Sscan(line, &connections); err != nil {
		s.t.Fatalf("the server said %q", line)
	}
	return connections
}

// fill connects until the server refuses, and then goes on trying.
func (s *fewServer) fill(in []*peer) []*peer {
	s.t.Helper()
	refused := 0
	for refused < 30 {
		p, ok := admitted(s.t, s.engine, net.IPv4(127, 0, 0, 1))
		if ok {
			in = append(in, p)
		} else {
			refused++
		}
		if len(in) > s.capacity {
			s.t.Fatalf("%d are let in, the server has room for %d", len(in), s.capacity)
		}
	}
	return in
}

func (s *fewServer) reach(in []*peer, message string) {
	s.t.Helper()
	s.publish(message)
	for _, p := range in {
		p.Expect(ws.OpText, message)
	}
}

// With a real, low descriptor limit the server refuses, and is never gone: accept
// doesn't fail, which would end gnet.
func TestLowDescriptorLimit(t *testing.T) {
	t.Parallel()
	s := startFewServer(t, 120)
	in := s.fill(nil)
	if len(in) != s.capacity || len(in) < 80 {
		t.Errorf("%d are let in, capacity is %d: of 120 more should fit", len(in), s.capacity)
	}
	s.reach(in, "full")
	for _, p := range in[:20] {
		p.Close()
	}
	in = in[20:]
	eventually(t, "twenty have gone", func() bool {
		defer func() {
			for _, p := range in {
				p.Expect(ws.OpText, "fewer")
			}
		}()
		return s.publish("fewer") == len(in)
	})
	in = s.fill(in)
	if len(in) != s.capacity {
		t.Errorf("%d are let in again, capacity is %d", len(in), s.capacity)
	}
	s.reach(in, "full again")
	knock(t, s.engine)
	s.reach(in, "still alive")
}

// knock has many connect at the same time, to a server that is full.
func knock(t *testing.T, e *Engine) {
	t.Helper()
	done := make(chan struct{})
	for range 100 {
		go func() {
			if conn, err := net.Dial("tcp", e.Addr().String()); err == nil {
				_, _ = io.Copy(io.Discard, conn)
				conn.Close()
			}
			done <- struct{}{}
		}()
	}
	for range 100 {
		<-done
	}
}

// When somebody else in the process takes every descriptor, accept does fail. Nobody loses
// anything by it, and those who come meanwhile are let in when there are descriptors again.
func TestNoDescriptorLeft(t *testing.T) {
	t.Parallel()
	s := startFewServer(t, 120)
	in := []*peer{dial(t, s.engine, ""), dial(t, s.engine, "")}
	for round := range 3 {
		if n := s.publish("hog"); n < 40 {
			t.Fatalf("only %d descriptors were left to take", n)
		}
		failed := s.publish("errors")
		var waiting []*peer
		for range 8 {
			p := connect(t, s.engine)
			p.Say(request(""))
			waiting = append(waiting, p)
		}
		eventually(t, "accepting fails", func() bool { return s.publish("errors") > failed })
		s.reach(in, fmt.Sprint("without descriptors ", round))
		failed = s.publish("errors")
		s.reach(in, "still without")
		// Loops don't try in vain all the time, but now and then.
		if more := s.publish("errors") - failed; more > 100 {
			t.Errorf("%d accepts have failed while a message was sent", more)
		}
		s.publish("release")
		for _, p := range waiting {
			p.Upgraded()
		}
		s.reach(in, "with descriptors")
		for _, p := range waiting {
			p.skipTo("with descriptors") // one may have got a descriptor that something else let go of
		}
		in = append(in, waiting...)
	}
}

// skipTo reads up to the message.
func (p *peer) skipTo(message string) {
	p.T.Helper()
	for {
		f, err := p.Next()
		must(p.T, err)
		if string(f.Payload) == message {
			return
		}
	}
}
