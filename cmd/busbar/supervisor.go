package main

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"os"
	"sync"
	"time"

	sdnotify "github.com/coreos/go-systemd/v22/daemon"
	"golang.org/x/sys/unix"

	"github.com/busbar-ws/busbar/eventloop"
)

// supervisor is the service manager that started this process and wants to know what it does (sd_notify(3)): systemd,
// for a unit with Type=notify. Without one the calls do nothing. Safe from any goroutine.
type supervisor struct {
	log *slog.Logger

	mu       sync.Mutex // held while a state is sent that draining decides about
	draining bool       // guarded by mu; a server that drains isn't ready any more
}

// tell sends a state. A manager that can't be told isn't worth an end: it ends a process that it hears nothing of itself.
func (s *supervisor) tell(state string) {
	if err := notify(state); err != nil {
		s.log.Warn("the service manager can't be told", "state", state, "error", err)
	}
}

// tellServing sends a state of a server that serves.
func (s *supervisor) tellServing(state string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.draining {
		s.tell(state)
	}
}

// tellTime is how long a manager may take to have room for a state: systemd reads them at once. What waits longer would keep
// the server from draining.
const tellTime = time.Second

// notify is sd_notify(3) with a deadline, which SdNotify hasn't.
func notify(state string) error {
	path := os.Getenv("NOTIFY_SOCKET")
	if path == "" {
		return nil
	}
	conn, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		return err
	}
	defer conn.Close()
	_ = conn.SetWriteDeadline(time.Now().Add(tellTime))
	_, err = conn.Write([]byte(state))
	return err
}

// serving is called once clients and publishers can connect. From then on the manager is told that the process is alive
// while answer returns nil, until what is returned is called.
func (s *supervisor) serving(c eventloop.Capacity, answer func(context.Context) error) (end func()) {
	s.tellServing(fmt.Sprintf("%s\nSTATUS=serving up to %d connections", sdnotify.SdNotifyReady, c.Connections))
	ctx, cancel := context.WithCancel(context.Background())
	go s.watch(ctx, answer)
	return cancel
}

// reloading is called when the configuration is read again, and what it returns once it counts, or doesn't.
func (s *supervisor) reloading() (done func()) {
	var now unix.Timespec // for units of Type=notify-reload
	_ = unix.ClockGettime(unix.CLOCK_MONOTONIC, &now)
	s.tellServing(fmt.Sprintf("%s\nMONOTONIC_USEC=%d", sdnotify.SdNotifyReloading, now.Nano()/1000))
	return func() { s.tellServing(sdnotify.SdNotifyReady) }
}

// margin is what the end takes beside the drain: answers to the API's callers, and closing the stores.
const margin = 15 * time.Second

// stopping is called when a drain begins that ends after within at the latest. The manager waits for it, also where
// its unit's TimeoutStopSec is less.
func (s *supervisor) stopping(within time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.draining = true
	s.tell(fmt.Sprintf("%s\nSTATUS=draining\nEXTEND_TIMEOUT_USEC=%d", sdnotify.SdNotifyStopping, (within + margin).Microseconds()))
}

// watch tells the manager that the process is alive, three times in the time that it has for that, for as long as every
// event loop answers. It returns when ctx has ended, when the loops have, and at once where no manager asks for it.
//
// A loop that hangs never answers, so the manager ends the process (WatchdogSec; SIGABRT, with which Go prints all
// stacks) and starts it anew.
func (s *supervisor) watch(ctx context.Context, answer func(context.Context) error) {
	patience, err := sdnotify.SdWatchdogEnabled(false)
	if err != nil || patience == 0 {
		if err != nil {
			s.log.Warn("the service manager's watchdog isn't served", "error", err)
		}
		return
	}
	tick := time.NewTicker(patience / 3)
	defer tick.Stop()
	for {
		late := time.AfterFunc(patience/2, func() {
			s.log.Error("an event loop hasn't answered; the service manager will end this process", "for", patience/2, "after", patience)
		})
		err := answer(ctx)
		late.Stop()
		if err != nil {
			return
		}
		s.tell(sdnotify.SdNotifyWatchdog)
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}
