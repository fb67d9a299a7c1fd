package proof

import (
	"context"
	"errors"
	"fmt"

	"github.com/gobwas/ws"
)

// leave ends a life in one of the ways there are.
func (a *arena) leave(ctx context.Context, p *peer, s *slot) error {
	switch way := s.random.IntN(10); {
	case way < 4:
		a.count("left with Close")
		return leaveClean(p)
	case way < 6:
		a.count("left with RST")
		p.gone()
		return nil
	case way < 7:
		a.count("left by half-close")
		return leaveHalf(p, nil)
	case way < 8:
		a.count("left within a frame")
		return leaveHalf(p, []byte{0x81, 0x85, 1, 2, 3}) // a text frame of 5 bytes, as far as its mask
	}
	a.count("revoked")
	return a.leaveRevoked(ctx, p, s)
}

func leaveClean(p *peer) error {
	if err := p.write(ws.OpClose, ws.NewCloseFrameBody(ws.StatusNormalClosure, "")); err != nil {
		return err
	}
	if err := p.awaitEnd(patience); err != nil {
		return err
	}
	if p.code != ws.StatusNormalClosure {
		return wronged("its Close 1000 was answered otherwise: %w", p.whyEnded())
	}
	return nil
}

// leaveHalf sends FIN, perhaps in the middle of a frame. The server has to end its side too.
func leaveHalf(p *peer, last []byte) error {
	p.writing.Lock()
	_, _ = p.conn.Write(last)
	err := p.conn.CloseWrite()
	p.writing.Unlock()
	return errors.Join(err, p.awaitEnd(patience))
}

func (a *arena) leaveRevoked(ctx context.Context, p *peer, s *slot) error {
	if err := a.revoke(ctx, s.token); err != nil {
		return err
	}
	if err := p.awaitEnd(patience); err != nil {
		return fmt.Errorf("revoked: %w", err)
	}
	if p.code != ws.StatusPolicyViolation {
		return wronged("revoked, and not told: %w", p.whyEnded())
	}
	return a.admit(ctx, s)
}
