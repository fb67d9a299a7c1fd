package main

import (
	"bufio"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
)

// lengthStats stands on the control connection in place of a payload's length.
const lengthStats = 0xFFFFFFFE

// maxRecord is the longest payload in bytes that a record may have; more is a bench that
// lost its place in the stream.
const maxRecord = 16 << 20

// stats is what a target answers when the bench asks for statistics.
type stats struct {
	// Clients are connected and would get the next record.
	Clients int64 `json:"clients"`
	// Sends are the write system calls to clients' sockets since the start, the
	// handshakes' included; -1 where the target can't count them.
	Sends int64 `json:"sends"`
	// Deliveries are the messages, not bytes, that went to a client.
	Deliveries int64 `json:"deliveries"`
	// Again are sends that the kernel refused because the socket was full (raw only).
	Again int64 `json:"again,omitempty"`
}

// serveControl takes one control connection after the other from ln and does what each
// asks of h. It returns when ln fails.
func serveControl(ln net.Listener, h hub) error {
	for {
		conn, err := ln.Accept()
		if err != nil {
			return fmt.Errorf("accepting the control connection: %w", err)
		}
		if err := obey(conn, h); err != io.EOF {
			fmt.Fprintln(os.Stderr, "peers: control connection:", err)
		}
		conn.Close()
	}
}

// obey does what comes over conn until its end, which is io.EOF.
func obey(conn net.Conn, h hub) error {
	in, out := bufio.NewReaderSize(conn, 256<<10), json.NewEncoder(conn)
	var length [4]byte
	for {
		if _, err := io.ReadFull(in, length[:]); err != nil {
			return err
		}
		n := binary.BigEndian.Uint32(length[:])
		if n == lengthStats {
			if err := out.Encode(h.stats()); err != nil {
				return fmt.Errorf("answering with statistics: %w", err)
			}
			continue
		}
		if n > maxRecord {
			return fmt.Errorf("a record of %d bytes, at most %d", n, maxRecord)
		}
		payload := make([]byte, n)
		if _, err := io.ReadFull(in, payload); err != nil {
			return fmt.Errorf("reading a record of %d bytes: %w", n, err)
		}
		h.broadcast(payload)
	}
}
