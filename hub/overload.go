package hub

import "errors"

// ErrOverloaded is returned to publishers while so much is buffered for clients that letting
// the slow ones go isn't enough (Options.Loops.BufferBytes), and for a message that there is
// no room for. Nothing was published, unless the error says so; AwaitRoom waits until it is
// worth trying again.
var ErrOverloaded = errors.New("too much is buffered for clients, try again later")

// Overloaded is true while newcomers are refused, and publishers get ErrOverloaded.
func (h *Hub) Overloaded() bool { return h.engine.Overloaded() }

// admit is asked before anything is published.
func (h *Hub) admit() error {
	if h.engine.Overloaded() {
		return ErrOverloaded
	}
	return nil
}
