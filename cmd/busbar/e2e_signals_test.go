package main

import (
	"os"
	"strings"
	"syscall"
	"testing"
)

// Every signal that ends a process, and that somebody outside sends, has the server drain: clients are told by
// 1001, and the exit code is 0.
func TestSignalsDrain(t *testing.T) {
	t.Parallel()
	for _, sig := range []syscall.Signal{
		syscall.SIGTERM, syscall.SIGINT, syscall.SIGQUIT, syscall.SIGUSR1, syscall.SIGUSR2, syscall.SIGALRM,
		syscall.SIGVTALRM, syscall.SIGIO, syscall.SIGPWR, syscall.SIGXCPU, syscall.SIGSTKFLT,
		syscall.Signal(35), syscall.Signal(37), syscall.Signal(64), // of the real-time ones SIGRTMIN+3 and the outermost
	} {
		t.Run(sig.String(), func(t *testing.T) {
			d := startDaemon(t)
			c := d.connect(d.session("alice"))
			if err := d.cmd.Process.Signal(sig); err != nil {
				t.Fatal(err)
			}
			waitClose(t, c, 1001)
			d.waitExit()
			if code := d.cmd.ProcessState.ExitCode(); code != 0 {
				t.Errorf("ended with %v", d.cmd.ProcessState)
			}
		})
	}
}

// The others end nothing; SIGHUP is logged, also while the server drains.
func TestSignalsThatEndNothing(t *testing.T) {
	d := startDaemon(t)
	c := d.connect(d.session("alice"))
	for _, sig := range []os.Signal{syscall.SIGPIPE, syscall.SIGXFSZ, syscall.SIGPROF, syscall.SIGWINCH, syscall.SIGHUP} {
		if err := d.cmd.Process.Signal(sig); err != nil {
			t.Fatal(err)
		}
	}
	d.waitOutput(d.log, "line about SIGHUP", func(text string) bool { return strings.Contains(text, "SIGHUP") })
	if seq := d.publish("t_1"); waitChange(c).Seq != seq {
		t.Error("a client missed an event")
	}
	d.stop()
	waitClose(t, c, 1001)
}
