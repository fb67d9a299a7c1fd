package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/busbar-ws/busbar/hub"
	"github.com/busbar-ws/busbar/hub/auth"
	"github.com/busbar-ws/busbar/hub/disklog"
	"github.com/busbar-ws/busbar/internal/cli"
	"github.com/busbar-ws/busbar/internal/datadir"
	"github.com/busbar-ws/busbar/internal/natsconn"
	"github.com/busbar-ws/busbar/internal/natslog"
	"github.com/busbar-ws/busbar/internal/natsrows"
)

const logUsage = `Looks after the change log.

Usage: busbar log bump [flags]    makes all cursors that clients have too old, after a backup was restored
       busbar log copy [flags]    moves it to NATS, or from there

-help after it shows its flags.
`

const logBumpUsage = `Lets go of all events in the change log and has sequence numbers go on above all that there can have
been, so that every client fetches a full copy when it comes back. It is for when the data directory
was restored from a backup: clients may have seen events that the backup lacks, and others will get
their numbers. The server must not be running. Where publishers number their changes (-seq given) it
refuses, and says above which number they have to publish again.

Usage: busbar log bump [flags]
       busbar log bump nats [the server's flags]

The second is for the change log of several nodes (-log nats), which may run: give it what one of
them is given. It ends all of their sessions too, for some may have been revoked since the backup. Where NATS is inside of the nodes it takes the place of one, with its flags.
`

const logCopyUsage = `Moves the change log and published rows from the data directory (-log disk) to NATS (-log nats), or
back, so that clients go on with the cursors that they have. What they were moved from isn't used any
more: changes.db gets the name changes.db.moved, and streams take nothing from when the copy begins.

Usage: busbar log copy disk nats [the server's flags]
       busbar log copy nats disk [the server's flags]

Give it what the server is given: it takes all flags of "busbar serve", and their variables. There
must be no log yet where it goes to, and no server on the data directory. One that was broken off
is run again, and starts over. Where NATS is inside of the nodes it takes the place of one of them,
with its flags, and needs another: start it first, then the others, which wait for it.
`

// changeLog is the command log.
func changeLog(args []string, s streams) error {
	if len(args) == 0 {
		args = []string{"-help"}
	}
	return runVerb("log", logUsage, map[string]command{"bump": logBump, "copy": logCopy}, args, s)
}

func logBump(args []string, s streams) error {
	if len(args) > 0 && args[0] == logNATS {
		return logBumpNATS(args[1:], s)
	}
	var data string
	t := cli.New("busbar log bump", logBumpUsage)
	t.Group("Flags")
	addServerData(t, &data)
	if _, err := parseOrHelp(t, args, s); err != nil {
		return err
	}
	path := datadir.Dir(data).ChangeLog()
	if err := isThere(path); err != nil {
		return err
	}
	lock, err := datadir.Dir(data).Lock()
	if err != nil {
		return err
	}
	defer lock.Close()
	events, last, err := disklog.Bump(path)
	if err == nil {
		err = printBumped(s, uint64(events), last)
	}
	return err
}

func printBumped(s streams, events, last uint64) error {
	_, err := fmt.Fprintf(s.out, "%d events were let go of; sequence numbers go on above %d\n", events, last)
	return err
}

func logBumpNATS(args []string, s streams) error {
	cfg, err := parseServer(cli.New("busbar log bump", logBumpUsage), append(args, "-log", logNATS), s)
	if err != nil {
		return err
	}
	c := logCopier{server: &server{cfg: cfg, log: commandLog(s), dir: datadir.Dir(cfg.Data)}}
	if cfg.Log.Cluster.Listen != "" { // it is the node that has this data directory
		err = c.lock()
	}
	var to natslog.Options
	if err == nil {
		to, err = c.openNATS()
	}
	if err == nil {
		var events, last uint64
		if events, last, err = natslog.Bump(context.Background(), to); err == nil {
			err = errors.Join(printBumped(s, events, last), endAllSessions(to))
		}
	}
	return errors.Join(err, c.close())
}

// endAllSessions is for those that were revoked since the backup.
func endAllSessions(o natslog.Options) error {
	conn, _, err := natsconn.Connect(natsconn.Options{
		Servers: o.Servers, NATS: o.NATS, Logger: o.Logger, Reconnected: func() {}, Slow: func(*nats.Subscription) bool { return false },
	})
	if err != nil {
		return fmt.Errorf("ending the sessions: connecting to NATS: %w", err)
	}
	defer conn.Close()
	return auth.EndAll(context.Background(), conn, o.Stream)
}

func isThere(changeLog string) error {
	if _, err := os.Stat(changeLog); errors.Is(err, fs.ErrNotExist) {
		moved := disklog.MovedTo(changeLog)
		if _, err := os.Stat(moved); err == nil {
			return fmt.Errorf("there is no change log: busbar log copy has moved %s; if it was broken off then, and no node has begun since, give %s that name again", changeLog, moved)
		}
		return fmt.Errorf("there is no change log: %s doesn't exist; name the server's data directory with -data", changeLog)
	}
	return nil
}

func logCopy(args []string, s streams) error {
	help := cli.New("busbar log copy", logCopyUsage)
	if len(args) > 0 && asksForHelp(args[:1]) {
		return errors.Join(flag.ErrHelp, writeHelp(s.out, help))
	}
	if len(args) < 2 || !slices.Contains([]string{logDisk + logNATS, logNATS + logDisk}, args[0]+args[1]) {
		return cli.Usagef("log copy: say from where and to where: busbar log copy disk nats, or nats disk; busbar log copy -help shows more")
	}
	cfg, err := parseServer(help, append(args[2:], "-log", logNATS), s)
	if err != nil {
		return err
	}
	c := logCopier{server: &server{cfg: cfg, log: commandLog(s), dir: datadir.Dir(cfg.Data)}}
	copied := c.toDisk
	if args[0] == logDisk {
		copied = c.toNATS
	}
	if err := errors.Join(copied(context.Background()), c.close()); err != nil {
		return err
	}
	_, err = fmt.Fprintf(s.out, "%s copied, with seqs from %d to %d, and %s\n",
		cli.Plural(c.events, "event was", "events were"), c.bounds.Oldest, c.bounds.Last, cli.Plural(c.rows, "row", "rows"))
	return err
}

// logCopier moves a change log. Of the server it has the data directory and NATS.
type logCopier struct {
	*server
	bounds       hub.Bounds
	events, rows int
}

// counted calls f too.
func (c *logCopier) counted(f func(*hub.Change, time.Time) error) func(*hub.Change, time.Time) error {
	return func(change *hub.Change, at time.Time) error {
		c.events++
		return f(change, at)
	}
}

// countedRows calls f too.
func (c *logCopier) countedRows(f func(*hub.StoredRow) error) func(*hub.StoredRow) error {
	return func(r *hub.StoredRow) error {
		c.rows++
		return f(r)
	}
}

func (c *logCopier) toNATS(ctx context.Context) error {
	path := c.dir.ChangeLog()
	if err := isThere(path); err != nil {
		return err
	}
	if err := c.lock(); err != nil {
		return err
	}
	source, err := disklog.Open(path, disklog.Unbounded)
	if err != nil {
		return err
	}
	c.bounds = source.Bounds()
	to, err := c.openNATS()
	if err == nil {
		err = natslog.Import(ctx, to, c.bounds,
			func(f func(*hub.Change, time.Time) error) error { return source.Export(c.counted(f)) },
			func() (err error) {
				if c.cfg.RowsURL == "" { // else nodes store none
					err = natsrows.Import(ctx, rowsOn(&to), func(f func(*hub.StoredRow) error) error { return source.Rows().Load(c.countedRows(f)) })
				}
				if err == nil {
					err = source.MoveAway() // before a node opens the stream: never can both be served from
				}
				return err
			})
	}
	return errors.Join(err, source.Close())
}

func (c *logCopier) toDisk(ctx context.Context) (err error) {
	if c.dir, err = datadir.Open(c.cfg.Data); err != nil {
		return err
	}
	path := c.dir.ChangeLog()
	if isThere(path) == nil {
		return fmt.Errorf("there is a change log: %s; move it away, or name another directory with -data", path)
	}
	if err := c.lock(); err != nil {
		return err
	}
	from, err := c.openNATS()
	if err != nil {
		return err
	}
	source, err := natslog.OpenExport(ctx, from)
	if err != nil {
		return err
	}
	c.bounds = source.Bounds
	rows, err := natsrows.OpenExport(ctx, rowsOn(&from))
	if err == nil {
		err = disklog.Import(path, source.Bounds,
			func(f func(*hub.Change, time.Time) error) error { return source.Each(ctx, c.counted(f)) },
			func(f func(*hub.StoredRow) error) error { return rows.Each(ctx, c.countedRows(f)) })
		err = errors.Join(err, rows.Close(ctx, err == nil))
	}
	return errors.Join(err, source.Close(ctx, err == nil))
}
