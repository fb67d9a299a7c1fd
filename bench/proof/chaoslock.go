package proof

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"syscall"
	"time"
)

// lock has another process lock the database for writing while the daemon serves.
func (o *ChaosOptions) lock(ctx context.Context, r *Record) error {
	return o.onStage(ctx, nil, func(ctx context.Context, s *stage) error {
		unused, err := s.session(ctx, "unused")
		if err != nil {
			return err
		}
		unlock, err := o.locker(s.path("busbar.db"))
		if err != nil {
			return err
		}
		start := time.Now()
		err = within(answered, "a new session", func() error {
			_, err := s.session(ctx, "locked")
			return err
		})
		took := time.Since(start)
		var no *refusal
		if !errors.As(err, &no) || no.status/100 != 5 || errors.Is(err, errWronged) {
			return errors.Join(wronged("a new session with the database locked: %w", err), unlock())
		}
		err = s.goesOn(ctx, unused)
		if err := errors.Join(err, unlock()); err != nil {
			return err
		}
		r.fact("locked: a new session was refused with %d after %v; %d events, a new client, all clients: as ever", no.status, took.Round(time.Millisecond), many)
		return s.recovers(ctx, r)
	})
}

// locker starts the process that holds the lock. It ends with unlock, or with this process.
func (o *ChaosOptions) locker(file string) (unlock func() error, err error) {
	args := append(append([]string(nil), o.Self[1:]...), "locker", file)
	cmd := exec.Command(o.Self[0], args...) //nolint:gosec // this program
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	log := &tail{}
	cmd.Stderr = log
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	ended, err := spawn(cmd)
	if err != nil {
		return nil, fmt.Errorf("starting what locks the database: %w", err)
	}
	if line, err := bufio.NewReader(out).ReadString('\n'); err != nil || line != "locked\n" {
		_ = cmd.Process.Kill()
		<-ended
		return nil, fmt.Errorf("what locks the database says %q: %w%s", line, err, log)
	}
	return func() error {
		_ = in.Close()
		<-ended
		if !cmd.ProcessState.Success() {
			return fmt.Errorf("what locked the database ended with %v%s", cmd.ProcessState, log)
		}
		return nil
	}, nil
}
