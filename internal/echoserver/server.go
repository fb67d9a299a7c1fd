// Package echoserver is the server that conformance suites run against: every data message comes
// back, as it was, to the client that sent it. What it shows is the part of Busbar below
// the hub, event loops and wsproto, which is the same as in production.
//
// There is no authentication, no origin check and nobody else to send to.
package echoserver

import (
	"context"
	"net"
	"time"

	"github.com/gobwas/ws"

	"github.com/busbar-ws/busbar/eventloop"
	"github.com/busbar-ws/busbar/wsproto"
)

// Server is an echo server that runs. Its methods are safe from any goroutine.
type Server struct{ engine *eventloop.Engine }

// Start listens and serves. o.Slow.LagBytes and o.Slow.LagTime bound what a client that doesn't read
// what comes back may have waiting, as they do for any other client.
func Start(o eventloop.Options) (*Server, error) {
	e, err := eventloop.New(handler{}, o)
	if err != nil {
		return nil, err
	}
	if err := e.Start(); err != nil {
		return nil, err
	}
	return &Server{engine: e}, nil
}

// Addr is the address that is listened on.
func (s *Server) Addr() net.Addr { return s.engine.Addr() }

// Capacity is how many connections there may be, and why.
func (s *Server) Capacity() eventloop.Capacity { return s.engine.Capacity() }

// Loops is the number of event loops.
func (s *Server) Loops() int { return s.engine.Loops() }

// Failed is closed when the event loops have stopped.
func (s *Server) Failed() <-chan struct{} { return s.engine.Failed() }

// Answers returns nil when each event loop has done a task that was left for it now, or with ctx, or when they have
// stopped.
func (s *Server) Answers(ctx context.Context) error {
	return s.engine.Each(ctx, func(*eventloop.Loop) {})
}

// Shutdown sends Close 1012 to every client, waits until all have gone or ctx has ended,
// and stops. The error is ctx's.
func (s *Server) Shutdown(ctx context.Context) error {
	defer s.engine.Stop()
	return s.engine.Drain(ctx, wsproto.StatusServiceRestart, wsproto.ReconnectAfter(time.Second))
}

// handler is what the event loops call.
type handler struct{}

// Upgrade lets everybody in.
func (handler) Upgrade(c *eventloop.Client, r *wsproto.Request) {
	c.Accept(eventloop.Acceptance{Answer: r.Answer})
}

// Message sends the message back behind all that has been sent back before.
func (handler) Message(c *eventloop.Client, op ws.OpCode, payload []byte) {
	c.Send(eventloop.NewFrame(op, payload))
}

// Closed has nobody to tell.
func (handler) Closed(*eventloop.Client, eventloop.Cause) {}

// Lagged adds nothing to what comes back: a message that nobody sent would be wrong there.
func (handler) Behind(*eventloop.Client, uint64)                             {}
func (handler) LossNotice(*eventloop.Client, eventloop.Gap) *eventloop.Frame { return nil }

// Expired is for identities, which there are none of.
func (handler) Expired(*eventloop.Client) {}

// Drained is for clients that catch up, which there are none of.
func (handler) Drained(*eventloop.Client) {}

// Taken is never called: no client asks for anything.
func (handler) Taken(*eventloop.Client) {}
