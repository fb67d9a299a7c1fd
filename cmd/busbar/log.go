package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/busbar-ws/busbar/internal/disklog"
)

const logUsage = `Looks after the change log that -log disk keeps in the data directory.

Usage: busbar log bump [flags]    makes all cursors that clients have too old, after a backup was restored

-help after it shows its flags.
`

const logBumpUsage = `Lets go of all events in the change log and has sequence numbers go on above all that there can have
been, so that every client fetches a full copy when it comes back. It is for when the data directory
was restored from a backup: clients may have seen events that the backup lacks, and others will get
their numbers. The server must not be running.

Usage: busbar log bump [flags]
`

// changeLog is the command log.
func changeLog(args []string, s streams) error {
	if len(args) == 0 {
		args = []string{"-help"}
	}
	return runVerb("log", logUsage, map[string]command{"bump": logBump}, args, s)
}

func logBump(args []string, s streams) error {
	var data string
	t := newFlagTable("busbar log bump", logBumpUsage)
	t.Group("Flags")
	t.ServerDataDir(&data)
	if _, err := t.parseOrHelp(args, s); err != nil {
		return err
	}
	path := dataDir{data}.changeLog()
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("there is no change log: %s doesn't exist; name the server's data directory with -data", path)
	}
	lock, err := dataDir{data}.lockForServing()
	if err != nil {
		return err
	}
	defer lock.Close()
	events, last, err := disklog.Bump(path)
	if err == nil {
		_, err = fmt.Fprintf(s.out, "%d events were let go of; sequence numbers go on above %d\n", events, last)
	}
	return err
}
