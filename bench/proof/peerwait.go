package proof

import (
	"errors"
	"fmt"
	"time"

	"github.com/gobwas/ws"
)

var (
	errEnded = errors.New("the connection has ended")
	errLate  = errors.New("it didn't come in time")
)

// until waits for a condition, which is looked at under the lock whenever something has come.
func (p *peer) until(within time.Duration, ok func() bool) error {
	late := time.NewTimer(within)
	defer late.Stop()
	for {
		p.mu.Lock()
		good, moved := ok(), p.moved
		p.mu.Unlock()
		if good {
			return nil
		}
		select {
		case <-moved:
		case <-p.ended:
			return p.whyEnded()
		case <-late.C:
			return errLate
		}
	}
}

func (p *peer) whyEnded() error {
	<-p.ended
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.fault != nil {
		return p.fault
	}
	return fmt.Errorf("%w: close code %d %q, %w", errEnded, p.code, p.reason, p.err)
}

// settle waits until the server has acted on all that was sent.
func (p *peer) settle() error { return p.settleWithin(patience) }

func (p *peer) settleWithin(most time.Duration) error {
	p.mu.Lock()
	want := p.pongs + 1
	p.mu.Unlock()
	if err := p.write(ws.OpPing, nil); err != nil {
		return err
	}
	if err := p.until(most, func() bool { return p.pongs >= want }); err != nil {
		return fmt.Errorf("waiting for a pong: %w", err)
	}
	p.with((*account).settled)
	return nil
}

func (p *peer) with(f func(*account)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	f(p.account)
}

// catchUp waits until it has all that the server has taken so far.
func (p *peer) catchUp() error {
	var owed map[*stream]uint64
	p.with(func(a *account) { owed = a.owed() })
	lacks := ""
	err := p.until(patience, func() bool {
		name, behind := p.account.behind(owed)
		lacks = name
		return !behind
	})
	if errors.Is(err, errLate) {
		return wronged("it has waited %v for what it lacks: %s", patience, lacks)
	}
	return err
}
