package proof

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// stage is a daemon with clients that are given changes and all else that goes to everyone.
type stage struct {
	*arena
	slots []*slot
	peers []*peer
	lives []life // that have ended since somebody looked
}

// onStage starts a daemon and connects the clients, and takes both away after play.
func (o *ChaosOptions) onStage(ctx context.Context, prepare func(*daemon, *Book), play func(context.Context, *stage) error, args ...string) error {
	folder, err := os.MkdirTemp("", "busbar-chaos")
	if err != nil {
		return fmt.Errorf("making a data directory: %w", err)
	}
	defer os.RemoveAll(folder)
	d, err := newDaemon(o.Program, filepath.Join(folder, "data"), append(args, o.Args...)...)
	if err != nil {
		return err
	}
	b := newBook(false)
	b.add(changes, "e", 4)
	b.add(bulks, "bulk", 1)
	b.add(presence, "p", 1)
	b.add(broadcasts, "b", 1)
	b.add(relays, "r", o.Clients)
	if prepare != nil {
		prepare(d, b)
	}
	if err := d.start(ctx); err != nil {
		return err
	}
	hard, cut := context.WithCancel(ctx)
	defer cut()
	s := &stage{arena: newArena(d, b)}
	if s.slots, err = s.arena.slots(hard, "client", 0, o.Clients); err == nil {
		s.peers = make([]*peer, len(s.slots))
		err = errors.Join(s.connectAll(hard), s.together(s.ready))
	}
	if err == nil {
		err = play(hard, s)
	}
	for _, p := range s.peers {
		if p != nil {
			p.gone()
		}
	}
	if !d.runs() {
		return errors.Join(err, fmt.Errorf("%w: %v%s", errUnorderly, d.cmd.ProcessState, d.log))
	}
	return errors.Join(err, d.stop())
}
