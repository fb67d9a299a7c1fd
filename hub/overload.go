package hub

import (
	"context"
	"errors"
)

// ErrOverloaded is returned to publishers while so much is buffered for clients that letting
// the slow ones go isn't enough (Options.Loops.Memory.BufferBytes), and for a message that there is
// no room for. Nothing was published, unless the error says so; WaitDrained waits until it is
// worth trying again.
var ErrOverloaded = errors.New("too much is buffered for clients, try again later")

// Overloaded is true while newcomers are refused, and publishers get ErrOverloaded.
func (h *Hub) Overloaded() bool { return h.engine.Overloaded() }

// ErrShutDown is returned to publishers once Drain or Shutdown was called, not during CloseOver: each client's Close
// is behind what was published before, and nobody is left for what comes after it.
var ErrShutDown = errors.New("the hub is shutting down, and nobody is left to publish to")

// admit is asked before anything is published, about a message of so many bytes.
func (h *Hub) admit(size int) error {
	switch {
	case size > h.opts.MaxMessageOut:
		return &SizeError{size, h.opts.MaxMessageOut}
	case h.shutDown.Load():
		return ErrShutDown
	case h.engine.Overloaded():
		return ErrOverloaded
	}
	return nil
}

// HoldFetched counts n bytes that a SnapshotFetcher or ViewFetcher is reading as buffered for clients until release is
// called, once, before it returns: what it returns is counted by the hub. ctx is the one that it was called
// with. ErrOverloaded says that clients would have to go for it.
func HoldFetched(ctx context.Context, n int) (release func(), err error) {
	h, _ := ctx.Value((*Hub)(nil)).(*Hub) // a key that nobody else has
	if h == nil {
		return func() {}, nil
	}
	release, ok := h.engine.Hold(n)
	if !ok {
		return nil, ErrOverloaded
	}
	return release, nil
}

// Reserve counts n bytes as buffered until release is called, once: of what an embedder is
// still being sent, to publish it. After ErrOverloaded it is worth trying again, as it is when
// publishing fails so.
func (h *Hub) Reserve(n int) (release func(), err error) {
	release, ok := h.engine.Reserve(n)
	if !ok {
		return nil, ErrOverloaded
	}
	return release, nil
}
