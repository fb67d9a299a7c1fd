package main

import (
	"bytes"
	"fmt"

	"github.com/gobwas/ws"
	"golang.org/x/sys/unix"
)

// slotHandshake stands in raw.slots for a socket whose handshake isn't complete.
const slotHandshake = -1

// maxRequest is the longest handshake request in bytes that is read.
const maxRequest = 8 << 10

// acceptClients takes every connection that waits. Running out of descriptors is an error:
// a figure from fewer clients than the bench asked for would be none.
func (r *raw) acceptClients() error {
	for {
		fd, _, err := unix.Accept4(r.clientLn, unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC)
		switch err {
		case nil:
		case unix.EAGAIN:
			return nil
		case unix.EINTR, unix.ECONNABORTED:
			continue
		default:
			return fmt.Errorf("accepting client %d: %w", len(r.slots)+1, err)
		}
		r.slots[int32(fd)] = slotHandshake
		if err := r.watch(fd); err != nil {
			return err
		}
	}
}

// readClient reads what the socket fd has: a handshake, or bytes that nobody wants.
func (r *raw) readClient(fd int32) {
	slot, ok := r.slots[fd]
	if !ok {
		return // dropped earlier in this round
	}
	n, err := unix.Read(int(fd), r.scratch)
	switch {
	case err == unix.EAGAIN || err == unix.EINTR:
	case err != nil || n == 0:
		r.drop(fd)
	case slot == slotHandshake:
		if !r.shake(fd, r.scratch[:n]) {
			r.drop(fd)
		}
	}
}

// shake goes on with the handshake of fd, and says whether there is hope for it.
func (r *raw) shake(fd int32, read []byte) bool {
	request := read
	if before, ok := r.requests[fd]; ok {
		request = append(before, read...)
	}
	if !bytes.Contains(request, []byte("\r\n\r\n")) {
		if len(request) > maxRequest {
			return false
		}
		r.requests[fd] = bytes.Clone(request)
		return true
	}
	delete(r.requests, fd)
	exchange := exchange{request: bytes.NewReader(request)}
	_, err := ws.Upgrade(&exchange)
	if !r.send(fd, exchange.answer.Bytes()) || err != nil {
		return false
	}
	r.slots[fd] = len(r.clients)
	r.clients = append(r.clients, fd)
	return true
}

// exchange is a handshake in memory: the request that came, the answer to send.
type exchange struct {
	request *bytes.Reader
	answer  bytes.Buffer
}

// Read is io.Reader's.
func (e *exchange) Read(b []byte) (int, error) { return e.request.Read(b) }

// Write is io.Writer's.
func (e *exchange) Write(b []byte) (int, error) { return e.answer.Write(b) }

// drop closes the socket fd and forgets it. The last of clients takes its place.
func (r *raw) drop(fd int32) {
	if i := r.slots[fd]; i != slotHandshake {
		last := len(r.clients) - 1
		r.clients[i] = r.clients[last]
		r.slots[r.clients[i]] = i
		r.clients = r.clients[:last]
	}
	delete(r.slots, fd)
	delete(r.requests, fd)
	unix.Close(int(fd)) // which takes it out of the epoll set
}
