package natsrows

import (
	"context"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/synadia-io/orbit.go/jetstreamext"

	"github.com/busbar-ws/busbar/hub"
	"github.com/busbar-ws/busbar/internal/natsconn"
	"github.com/busbar-ws/busbar/internal/rowcopy"
)

// What natsconn.Mark says of a stream.
const (
	marked = "rows"
	moved  = "rows-moved" // by an Export, or about to be
)

var errMoved = natsconn.Permanent(errors.New("busbar log copy has moved the rows, or was broken off and must be run again"))

// Import makes the stream with the rows that each calls its argument with, in their order.
func Import(ctx context.Context, o Options, each rowcopy.Each) error {
	s, err := Open(ctx, o)
	if err != nil {
		return err
	}
	defer s.Close()
	err = rowcopy.Copy(each, s.putAll, func(f func(*hub.StoredRow) error) error { return s.each(ctx, f) })
	if err != nil {
		return fmt.Errorf("copying rows into the stream %s: %w", s.name(), err)
	}
	return nil
}

// putAll stores rows, as many together as go into a batch.
func (s *Rows) putAll(each rowcopy.Each) error {
	const mostMessages, mostBytes = 250, 4 << 20 // beside the row that goes beyond it
	var batch []*nats.Msg
	size := 0
	flush := func() error {
		if len(batch) == 0 {
			return nil
		}
		_, err := s.store(batch)
		batch, size = nil, 0
		return err
	}
	err := each(func(r *hub.StoredRow) error {
		subject, _ := s.address(r.Entity, r.RowID)
		messages := s.messages(subject, encode(r), hub.Snapshot)
		if len(batch)+len(messages) > mostMessages || size > mostBytes {
			if err := flush(); err != nil {
				return err
			}
		}
		batch, size = append(batch, messages...), size+len(r.Payload)
		return nil
	})
	if err != nil {
		return err
	}
	return flush()
}

// each calls f with every row's snapshot, the one that was written last at the end. Nobody may put rows meanwhile.
func (s *Rows) each(ctx context.Context, f func(*hub.StoredRow) error) error {
	var p parts
	for seq := uint64(1); ; {
		var batch []natsconn.Message
		err := natsconn.Patiently(ctx, s.opts.Logger, "reading rows", func(ctx context.Context) (err error) {
			batch, err = s.after(ctx, seq)
			return err
		})
		if err != nil || len(batch) == 0 {
			return err
		}
		for i := range batch {
			seq = batch[i].Seq + 1
			r, err := p.add(&batch[i])
			if err == nil && r != nil && r.Kind == hub.Snapshot {
				err = f(r)
			}
			if err != nil {
				return err
			}
		}
	}
}

// after are messages of any row from seq on. A server that is behind lacks the last ones, so that the leader is asked
// whether there are more.
func (s *Rows) after(ctx context.Context, seq uint64) ([]natsconn.Message, error) {
	const most = 4 << 20 // bytes, beside the message that goes beyond it
	batch := s.batch(ctx, jetstreamext.GetBatchSeq(seq), jetstreamext.GetBatchMaxBytes(most))
	if len(batch) > 0 {
		return batch, nil
	}
	m, err := natsconn.AskLeader(ctx, s.conn, s.name(), ">", seq)
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return nil, nil
	}
	return []natsconn.Message{m}, err
}

// Export is a stream of rows that none can be put into. It belongs to one goroutine.
type Export struct {
	*Rows
	config jetstream.StreamConfig // that it had; no name when there is no stream
}

// OpenExport closes the stream for publishers. It goes on as it was after Close, unless that is told that the rows were
// moved.
func OpenExport(ctx context.Context, o Options) (*Export, error) {
	s, err := dial(ctx, o)
	if err != nil {
		return nil, err
	}
	e := &Export{Rows: s}
	if err := natsconn.Patiently(ctx, o.Logger, "closing the stream "+s.name(), e.shut); err != nil {
		s.Close()
		return nil, err
	}
	return e, nil
}

func (e *Export) shut(ctx context.Context) error {
	stream, err := e.js.Stream(ctx, e.name())
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		return nil
	}
	if err != nil {
		return natsconn.ForGood(err)
	}
	config := stream.CachedInfo().Config
	if is := config.Metadata[natsconn.Mark]; is != marked && is != moved {
		return foreign(&config)
	}
	config = natsconn.MarkedAs(config, moved)
	if _, _, err = natsconn.Shut(ctx, e.js, config, e.opts.Name+".rows.closed"); err != nil {
		return err
	}
	e.config = config
	return nil
}

// Each calls f with every row's snapshot, the one that was written last at the end.
func (e *Export) Each(ctx context.Context, f func(*hub.StoredRow) error) error {
	if e.config.Name == "" {
		return nil
	}
	return e.each(ctx, f)
}

// Close has no node open the stream again if its rows were moved elsewhere.
func (e *Export) Close(ctx context.Context, elsewhere bool) error {
	var err error
	if !elsewhere && e.config.Name != "" {
		e.config.Subjects = []string{e.subjects()}
		_, err = e.js.UpdateStream(ctx, natsconn.MarkedAs(e.config, marked))
	}
	return errors.Join(err, e.Rows.Close())
}
