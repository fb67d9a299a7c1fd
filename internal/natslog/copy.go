package natslog

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/busbar-ws/busbar/hub"
	"github.com/busbar-ws/busbar/internal/natsconn"
)

var (
	errBeingFilled = errors.New("busbar log copy is filling it, or was broken off, and then has to be run again")
	errMoved       = errors.New("busbar log copy has moved the events, or was broken off and must be run again")
	errThere       = natsconn.Permanent(errors.New("there is a stream of this name already; choose another name"))
	errMixed       = errors.New("something else was published to the stream meanwhile")
)

func (l *Log) copySubject() string { return l.opts.Stream + ".copy" }

// beingCopied is whether a copy is about to make the stream, as where nodes are NATS themselves, and a copy needs
// those that wait for it.
func (l *Log) beingCopied(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, natsconn.RequestTimeout/2)
	defer cancel()
	_, err := l.conn.RequestWithContext(ctx, l.copySubject(), nil)
	return err == nil
}

// maxHole is how many seqs between two events can be left out of a stream: each is published and deleted.
const maxHole = 10_000

// Import makes the stream with the changes that each calls its argument with, at their seqs, and has beside copy what
// isn't in it. No node opens the stream before that has returned nil. What a copy has left that was broken off, or
// has moved elsewhere, is deleted first.
func Import(ctx context.Context, o Options, b hub.Bounds, each func(func(*hub.Change, time.Time) error) error, beside func() error) error {
	l, err := dial(ctx, o)
	if err != nil {
		return err
	}
	defer l.Close()
	if _, err := l.conn.Subscribe(l.copySubject(), func(m *nats.Msg) { _ = m.Respond(nil) }); err != nil {
		return fmt.Errorf("subscribing to %s: %w", l.copySubject(), err)
	}
	im := importer{Log: l, next: b.Before + 1}
	if b.Trimmed {
		im.next = b.Oldest - 1 // and a hole: the stream doesn't begin with its oldest event
	}
	config := l.config(im.next)
	config.Metadata[natsconn.Mark] = filled
	making := "making the stream " + o.Stream
	if err := natsconn.Patiently(ctx, l.opts.Logger, making, func(ctx context.Context) error { return l.replace(ctx, config) }); err != nil {
		return err
	}
	if err := im.all(ctx, b, each); err != nil {
		return fmt.Errorf("copying into the stream %s: %w", o.Stream, err)
	}
	if err := beside(); err != nil {
		return err
	}
	return natsconn.Patiently(ctx, l.opts.Logger, "finishing the stream "+o.Stream, func(ctx context.Context) error {
		info, err := l.info(ctx)
		if err != nil {
			return err
		}
		return natsconn.ForGood(l.mark(ctx, info.Config, marked))
	})
}

// replace makes the stream in place of one that is of no use any more.
func (l *Log) replace(ctx context.Context, config jetstream.StreamConfig) error {
	useless := func(has *jetstream.StreamInfo) bool {
		is := has.Config.Metadata[natsconn.Mark]
		return is == filled || is == moved
	}
	stream, err := l.js.Stream(ctx, config.Name)
	alone := errors.Is(err, jetstream.ErrStreamNotFound)
	if err != nil && !alone {
		return natsconn.ForGood(err)
	}
	if !alone && !useless(stream.CachedInfo()) {
		return errThere
	}
	// First, while the log's stream says that it is of no use either.
	err = l.clear(ctx, natsconn.RowsOf(config.Name), func(has *jetstream.StreamInfo) bool {
		return strings.HasPrefix(has.Config.Metadata[natsconn.Mark], "rows") && (!alone || has.State.Msgs == 0)
	})
	if err == nil {
		err = l.clear(ctx, config.Name, useless)
	}
	if err != nil {
		return err
	}
	l.stream, err = l.js.CreateStream(ctx, config)
	l.atomic = true
	return natsconn.ForGood(err)
}

// clear deletes a stream, if there is one.
func (l *Log) clear(ctx context.Context, name string, useless func(*jetstream.StreamInfo) bool) error {
	stream, err := l.js.Stream(ctx, name)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		return nil
	}
	if err != nil {
		return natsconn.ForGood(err)
	}
	if !useless(stream.CachedInfo()) {
		return fmt.Errorf("%s: %w", name, errThere)
	}
	return natsconn.ForGood(l.js.DeleteStream(ctx, name))
}

// importer publishes changes at their seqs.
type importer struct {
	*Log
	next    uint64 // seq of what comes next into the batch
	batch   []*sending
	bytes   int
	partly  int      // how often a part of the batch was there: servers store it message by message
	fillers []uint64 // seqs that are to be holes
}

// mostPartly is how often that is taken for the batch's own beginning, and not for what others have published.
const mostPartly = 20

func (im *importer) all(ctx context.Context, b hub.Bounds, each func(func(*hub.Change, time.Time) error) error) error {
	fill := func(seq uint64) error { // up to it
		if seq-im.next > maxHole {
			return fmt.Errorf("between the events before %d are %d seqs that there is nothing of, which a stream can't leave out", seq, seq-im.next)
		}
		for im.next < seq {
			im.fillers = append(im.fillers, im.next)
			if err := im.add(ctx, &sending{data: []byte("{}")}); err != nil {
				return err
			}
		}
		return nil
	}
	if err := fill(b.Oldest); err != nil {
		return err
	}
	err := each(func(c *hub.Change, _ time.Time) error {
		if err := fill(c.Seq); err != nil {
			return err
		}
		return im.add(ctx, &sending{id: idOf(c.OpID), data: hub.EncodeChange(c)})
	})
	if err == nil {
		err = im.flush(ctx)
	}
	if err != nil || len(im.fillers) == 0 {
		return err
	}
	var info *jetstream.StreamInfo
	err = natsconn.Patiently(ctx, im.opts.Logger, "asking for the oldest event", func(ctx context.Context) (err error) {
		info, err = im.info(ctx)
		return err
	})
	for _, seq := range im.fillers {
		if err == nil && seq >= info.State.FirstSeq { // else the stream's own limits let go of it
			err = im.stream.DeleteMsg(ctx, seq)
		}
	}
	return err
}

func (im *importer) add(ctx context.Context, s *sending) error {
	if im.bytes+len(s.data) > batchBytes || len(im.batch) == batchMessages {
		if err := im.flush(ctx); err != nil {
			return err
		}
	}
	im.batch, im.bytes, im.next = append(im.batch, s), im.bytes+len(s.data), im.next+1
	return nil
}

func (im *importer) flush(ctx context.Context) error {
	if len(im.batch) == 0 {
		return nil
	}
	if err := natsconn.Patiently(ctx, im.opts.Logger, "storing events", im.try); err != nil {
		return err
	}
	im.batch, im.bytes, im.partly = nil, 0, 0
	return nil
}

// try stores the batch, unless an attempt has that had no answer.
func (im *importer) try(ctx context.Context) error {
	before := im.next - 1 - uint64(len(im.batch))
	last, err := im.askLeader(ctx)
	switch {
	case err != nil:
		return err
	case last == im.next-1:
		return nil
	case last > before && last < im.next-1 && im.partly < mostPartly:
		im.partly++
		return fmt.Errorf("a batch is being stored up to %d, and is there up to %d", im.next-1, last)
	case last != before:
		return natsconn.Permanent(fmt.Errorf("the stream ends with %d, not %d: %w", last, before, errMixed))
	}
	err = im.publish(ctx, im.batch, 0)
	if errors.Is(err, nats.ErrMaxPayload) || natsconn.HasCode(err, natsconn.MessageTooLarge, natsconn.RepeatedInABatch, natsconn.NoResources, natsconn.MemoryFull, natsconn.StoreFailed) {
		return natsconn.Permanent(err)
	}
	if err != nil {
		return natsconn.ForGood(err)
	}
	for i, s := range im.batch {
		if want := before + uint64(i) + 1; s.seq != want {
			return natsconn.Permanent(fmt.Errorf("event %d got seq %d: %w", want, s.seq, errMixed))
		}
	}
	return nil
}

// Export is a stream that is read whole, and to which nothing can be published. It belongs to one goroutine.
type Export struct {
	log    *Log
	config jetstream.StreamConfig // that it had
	Bounds hub.Bounds
}

// OpenExport closes the stream for publishers. It goes on as it was after Close, unless that is told that the events
// were moved.
func OpenExport(ctx context.Context, o Options) (*Export, error) {
	l, err := dial(ctx, o)
	if err != nil {
		return nil, err
	}
	e := &Export{log: l}
	if err := natsconn.Patiently(ctx, l.opts.Logger, "closing the stream "+o.Stream, e.open); err != nil {
		l.Close()
		return nil, err
	}
	return e, nil
}

func (e *Export) open(ctx context.Context) (err error) {
	l := e.log
	if l.stream, err = l.js.Stream(ctx, l.opts.Stream); err != nil {
		if errors.Is(err, jetstream.ErrStreamNotFound) {
			return natsconn.Permanent(err)
		}
		return natsconn.ForGood(err)
	}
	e.config = l.stream.CachedInfo().Config
	switch e.config.Metadata[natsconn.Mark] {
	case marked:
	case closed, moved:
		e.config.MaxAge = l.opts.MaxAge
	case filled:
		return natsconn.Permanent(errBeingFilled)
	default:
		return foreign(&e.config)
	}
	e.config.Subjects = []string{l.subject()}
	last, err := e.shut(ctx, closed)
	if err != nil {
		return err
	}
	if _, err := l.askLeader(ctx); err != nil {
		return err
	}
	first := min(l.known.Load().FirstSeq, last+1)
	e.Bounds = hub.Bounds{Oldest: first, Last: last, Before: first - 1, Trimmed: first > e.config.FirstSeq}
	return nil
}

// shut marks the stream, which takes and lets go of events only as a change log.
func (e *Export) shut(ctx context.Context, state string) (last uint64, err error) {
	e.log.stream, last, err = natsconn.Shut(ctx, e.log.js, natsconn.MarkedAs(e.config, state), e.config.Name+"."+closed)
	return last, err
}

// Each calls f with all changes, their seqs and op ids in them, and when they were stored.
func (e *Export) Each(ctx context.Context, f func(*hub.Change, time.Time) error) error {
	for from := e.Bounds.Oldest; from <= e.Bounds.Last; {
		var batch []stored
		err := natsconn.Patiently(ctx, e.log.opts.Logger, "reading events", func(ctx context.Context) (err error) {
			batch, err = e.log.read(ctx, from, readMessages)
			return err
		})
		if err != nil || len(batch) == 0 {
			return err
		}
		for _, m := range batch {
			from = m.seq + 1
			c, err := hub.DecodeChange(m.data)
			if err != nil || c.Entity == "" {
				continue // somebody else's, as for a node
			}
			c.Seq = m.seq
			if id := sendingOf(m.id); !strings.HasPrefix(id, "/") {
				if c.OpID, err = url.PathUnescape(id); err != nil {
					return fmt.Errorf("the id of event %d: %w", m.seq, err)
				}
			}
			if err := f(&c, m.at); err != nil {
				return err
			}
		}
	}
	return nil
}

// Close has no node open the stream again if its events were moved elsewhere.
func (e *Export) Close(ctx context.Context, elsewhere bool) error {
	err := natsconn.Patiently(ctx, e.log.opts.Logger, "leaving the stream "+e.config.Name, func(ctx context.Context) (err error) {
		if elsewhere {
			_, err = e.shut(ctx, moved)
		} else {
			_, err = e.log.js.UpdateStream(ctx, natsconn.MarkedAs(e.config, marked))
		}
		return natsconn.ForGood(err)
	})
	return errors.Join(err, e.log.Close())
}
