package bench_test

import (
	"encoding/binary"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"time"

	"github.com/busbar-ws/busbar/bench/runner"
	"github.com/gobwas/ws"
)

// faultyServer is a target that does to its third client what its fault says, once, at
// message 10 and after; mute is from the first one on.
type faultyServer struct {
	fault string
	mu    sync.Mutex
	conns []net.Conn // guarded by mu
	held  []byte     // a message that is sent too late
	sent  int64
}

const (
	faultyClient  = 2
	faultyMessage = 10
	faultyDelay   = 20 * time.Millisecond
)

func faulty(args []string) error {
	s := &faultyServer{}
	flags := flag.NewFlagSet("faulty", flag.ContinueOnError)
	flags.StringVar(&s.fault, "fault", "", "")
	listen := flags.String("listen", "", "")
	control := flags.String("control", "", "")
	if err := flags.Parse(args); err != nil {
		return err
	}
	l, err := net.Listen("tcp", *listen)
	if err != nil {
		return err
	}
	c, err := net.Listen("tcp", *control)
	if err != nil {
		return err
	}
	go s.accept(l)
	fmt.Println("ready")
	for {
		conn, err := c.Accept()
		if err != nil {
			return err
		}
		if err := s.obey(conn); !errors.Is(err, io.EOF) {
			return err
		}
	}
}

func (s *faultyServer) accept(l net.Listener) {
	for {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		if _, err := ws.Upgrade(conn); err == nil {
			s.mu.Lock()
			s.conns = append(s.conns, conn)
			s.mu.Unlock()
		}
	}
}

func (s *faultyServer) obey(conn net.Conn) error {
	for {
		var size uint32
		if err := binary.Read(conn, binary.BigEndian, &size); err != nil {
			return err
		}
		if size == runner.ControlStats {
			s.mu.Lock()
			fmt.Fprintf(conn, `{"clients":%d,"sends":-1,"deliveries":%d}`+"\n", len(s.conns), s.sent)
			s.mu.Unlock()
			continue
		}
		payload := make([]byte, size)
		if _, err := io.ReadFull(conn, payload); err != nil {
			return err
		}
		s.broadcast(payload)
	}
}

func (s *faultyServer) broadcast(payload []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fault == "delay" {
		time.Sleep(faultyDelay) // this is the fault: the histogram has to show it
	}
	for i, conn := range s.conns {
		if i == faultyClient {
			s.mistreat(conn, payload)
		} else {
			s.send(conn, payload)
		}
	}
}

func (s *faultyServer) send(conn net.Conn, payload []byte) {
	if ws.WriteFrame(conn, ws.NewBinaryFrame(payload)) == nil {
		s.sent++
	}
}

func (s *faultyServer) mistreat(conn net.Conn, payload []byte) {
	seq := binary.BigEndian.Uint64(payload)
	switch {
	case s.fault == "silence" && seq >= faultyMessage, s.fault == "mute":
	case seq != faultyMessage:
		s.send(conn, payload)
		if s.held != nil {
			s.send(conn, s.held)
			s.held = nil
		}
	case s.fault == "lose":
	case s.fault == "repeat":
		s.send(conn, payload)
		s.send(conn, payload)
	case s.fault == "reorder":
		s.held = payload
	case s.fault == "shorten":
		s.send(conn, payload[:len(payload)-1])
	case s.fault == "end":
		fmt.Fprintln(os.Stderr, "a client is unwanted")
		_ = conn.Close()
	default:
		s.send(conn, payload)
	}
}
