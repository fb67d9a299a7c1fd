package main

import (
	"os"
	"os/signal"
	"syscall"
)

// endSignals have the server drain: the signals that end a process unless it does something about them
// (signal(7)), and that somebody outside sends. SIGQUIT is among them because it is some supervisors' word
// for an orderly end; who wants the stacks of all goroutines has SIGABRT.
//
// Not among them are those of a program that has gone wrong (SIGABRT, SIGSEGV and the like), which mustn't
// go on, and those about a write or a profile of our own (SIGPIPE, SIGXFSZ, SIGPROF), which the write's error
// says as well, and which the Go runtime sees to.
var endSignals = append([]os.Signal{
	syscall.SIGTERM, syscall.SIGINT, syscall.SIGQUIT, syscall.SIGUSR1, syscall.SIGUSR2, syscall.SIGALRM,
	syscall.SIGVTALRM, syscall.SIGIO, syscall.SIGPWR, syscall.SIGXCPU, syscall.SIGSTKFLT,
}, realTimeSignals()...)

// realTimeSignals are those that C libraries and the Go runtime leave to programs (signal(7)): SIGRTMIN+3 is how some
// service managers stop a container.
func realTimeSignals() (all []os.Signal) {
	for sig := syscall.Signal(35); sig <= 64; sig++ {
		all = append(all, sig)
	}
	return all
}

// catchSignals is called once, by a server: ends gets endSignals, and hangups SIGHUP. SIGPIPE is
// ignored until the process ends: a log that nobody reads any more is no reason to end, and supervisors take
// an end by SIGPIPE for a good one (systemd.service(5), SuccessExitStatus).
func catchSignals() (ends, hangups <-chan os.Signal) {
	caught, hung := make(chan os.Signal, 2), make(chan os.Signal, 1)
	signal.Notify(caught, endSignals...)
	signal.Notify(hung, syscall.SIGHUP)
	signal.Ignore(syscall.SIGPIPE)
	return caught, hung
}
