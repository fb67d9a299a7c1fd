// Package target is Busbar as the bench measures it: package hub with its defaults, which
// lets everyone in and publishes what comes over the control connection.
package target

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os/signal"
	"syscall"
	"time"

	"github.com/busbar-ws/busbar/bench/runner"
	"github.com/busbar-ws/busbar/eventloop"
	"github.com/busbar-ws/busbar/hub"
	"github.com/busbar-ws/busbar/hub/auth"
)

// everyone lets all clients in from memory, which a token that was asked for before costs
// too. They share one identity, and are strangers to each other.
type everyone struct{ hub.Identity }

// Cached always knows.
func (e *everyone) Cached(string) (*hub.Identity, bool) { return &e.Identity, true }

// Authenticate is never needed.
func (e *everyone) Authenticate(context.Context, string) (*hub.Identity, error) {
	return &e.Identity, nil
}

// emptyRow is a hub.SnapshotFetcher: every row is there and empty, and the answer tells a
// client that it is subscribed.
func emptyRow(context.Context, *hub.Identity, string, string) ([]byte, bool, error) {
	return nil, true, nil
}

// Main runs the target with the arguments that its flags tell of until SIGTERM. It
// writes "ready" to out when both addresses are listened on.
func Main(args []string, out, errs io.Writer) error {
	flags := flag.NewFlagSet("target", flag.ContinueOnError)
	flags.SetOutput(errs)
	listen := flags.String("listen", "127.0.0.1:4322", "address for WebSocket clients")
	control := flags.String("control", "127.0.0.1:4323", "address for the bench")
	delay := flags.Duration("flush-delay", 0, "eventloop.Options.FlushDelay")
	sessions := flags.String("sessions", "", "SQLite `file` with the sessions that tokens are looked up in; empty: everyone is let in")
	loops := flags.Int("loops", 0, "event loops; 0: one for each core that the process may use")
	var o eventloop.Options
	policy := flags.String("policy", "disconnect", "what happens to a client that lags too far: disconnect or drop-oldest")
	flags.DurationVar(&o.Slow.LagTime, "lag-time", 0, "without taking anything that waits, until that happens; 0: 5s")
	flags.IntVar(&o.Slow.LagBytes, "lag-bytes", 0, "that wait for a client, until that happens; 0: 5 MiB")
	flags.IntVar(&o.Accept.Rate, "accept-rate", 0, "connections a second that a loop that is behind accepts; 0: its default; -1: no limit")
	flags.IntVar(&o.Accept.Burst, "accept-burst", 0, "connections that a loop that is behind accepts at once; 0: its default")
	flags.DurationVar(&o.Timeouts.PingInterval, "ping-interval", 0, "silence before a ping; 0: 25s")
	if err := flags.Parse(args); err != nil {
		return err
	}
	switch *policy {
	case "disconnect":
	case "drop-oldest":
		o.Slow.Policy = eventloop.DropOldest
	default:
		return fmt.Errorf("-policy %q: disconnect or drop-oldest", *policy)
	}
	eventloop.SaveMemory()
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	o.Listen, o.Loops, o.Accept.MaxPerAddress, o.FlushDelay = *listen, eventloop.RaiseProcs(*loops), -1, *delay
	var guard hub.Authenticator = &everyone{hub.Identity{UserID: "guest", Anonymous: true}}
	if *sessions != "" {
		table, err := auth.OpenSessions(*sessions, auth.SessionOptions{ReadOnly: true})
		if err != nil {
			return fmt.Errorf("opening sessions: %w", err)
		}
		defer table.Close()
		guard = table
	}
	// The bench's clients come from a few addresses, with sessions as one user, and stand for
	// strangers.
	strangers := hub.Rates{PerUser: -1, PerAddress: -1}
	return serve(ctx, *control, hub.Options{Auth: guard, Loops: o, Rates: strangers, Logger: slog.New(slog.DiscardHandler), Rows: hub.RowOptions{Fetch: emptyRow}},
		func() { fmt.Fprintln(out, "ready") })
}

// drain is how long clients have to leave at the end.
const drain = 5 * time.Second

func serve(ctx context.Context, control string, o hub.Options, ready func()) error {
	h, err := hub.New(o)
	if err != nil {
		return fmt.Errorf("starting the hub: %w", err)
	}
	defer func() {
		ctx, cancel := context.WithTimeout(context.Background(), drain)
		defer cancel()
		_ = h.Shutdown(ctx) // who hasn't left is cut off
	}()
	l, err := runner.ListenControl(ctx, control)
	if err != nil {
		return fmt.Errorf("listening for the bench: %w", err)
	}
	defer context.AfterFunc(ctx, func() { _ = l.Close() })()
	ready()
	for {
		conn, err := l.Accept()
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return fmt.Errorf("waiting for the bench: %w", err)
		}
		if err := obey(ctx, h, conn); err != nil && ctx.Err() == nil && !errors.Is(err, io.EOF) {
			return err
		}
	}
}
