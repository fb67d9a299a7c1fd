package main

import (
	"bufio"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
)

// What stands on the control connection in place of a payload's length.
const (
	lengthStats    = 0xFFFFFFFE
	lengthReserved = 0xFFFFFFFD
)

// maxRecord is the longest payload in bytes that a record may have; more is a bench that
// lost its place in the stream.
const maxRecord = 16 << 20

var (
	errTooLong  = errors.New("the record is too long")
	errReserved = errors.New("the record is of a reserved kind")
	// errShort says that a record isn't there as a whole yet.
	errShort = errors.New("the record is incomplete")
)

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

// line is s as the one line of JSON that goes to the bench.
func (s stats) line() []byte {
	b, err := json.Marshal(s)
	if err != nil { // integers only: there is nothing that could fail
		return []byte("{}\n")
	}
	return append(b, '\n')
}

// checkLength says whether n announces a request for statistics rather than a payload of n
// bytes, and what is wrong with it.
func checkLength(n uint32) (isStats bool, err error) {
	switch {
	case n == lengthStats:
		return true, nil
	case n == lengthReserved:
		return false, errReserved
	case n > maxRecord:
		return false, fmt.Errorf("%w: %d bytes, at most %d", errTooLong, n, maxRecord)
	}
	return false, nil
}

// cut takes the first record off b: its payload, or isStats, and what follows it, both
// within b. The error is errShort while the record isn't complete.
func cut(b []byte) (payload []byte, isStats bool, rest []byte, err error) {
	if len(b) < 4 {
		return nil, false, b, errShort
	}
	n := binary.BigEndian.Uint32(b)
	isStats, err = checkLength(n)
	if err != nil || isStats {
		return nil, isStats, b[4:], err
	}
	if uint64(len(b)-4) < uint64(n) {
		return nil, false, b, errShort
	}
	return b[4 : 4+n], false, b[4+n:], nil
}

// serveControl takes one control connection after the other from ln and does what each
// asks of h. It returns when ln fails.
func serveControl(ln net.Listener, h hub) error {
	for {
		conn, err := ln.Accept()
		if err != nil {
			return fmt.Errorf("accepting the control connection: %w", err)
		}
		if err := obey(conn, h); err != nil {
			fmt.Fprintln(os.Stderr, "peers: control connection:", err)
		}
		conn.Close()
	}
}

// obey does what comes over conn until its end.
func obey(conn net.Conn, h hub) error {
	in := bufio.NewReaderSize(conn, 256<<10)
	var length [4]byte
	for {
		if _, err := io.ReadFull(in, length[:]); err == io.EOF {
			return nil
		} else if err != nil {
			return fmt.Errorf("reading a record's length: %w", err)
		}
		n := binary.BigEndian.Uint32(length[:])
		isStats, err := checkLength(n)
		if err != nil {
			return err
		}
		if isStats {
			if _, err := conn.Write(h.stats().line()); err != nil {
				return fmt.Errorf("answering with statistics: %w", err)
			}
			continue
		}
		payload := make([]byte, n)
		if _, err := io.ReadFull(in, payload); err != nil {
			return fmt.Errorf("reading a record of %d bytes: %w", n, err)
		}
		h.broadcast(payload)
	}
}
