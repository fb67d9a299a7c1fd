package main

import (
	"errors"
	"flag"
	"fmt"

	"github.com/busbar-ws/busbar/internal/cli"
	"github.com/busbar-ws/busbar/internal/doctor"
	"github.com/busbar-ws/busbar/internal/memory"
)

const configUsage = `Prints what a server with these flags, variables and file would go by, and where each value is from.

Usage: busbar config [the server's flags]

It prints a file as -config takes it, in which defaults are comments, but that passwords in URLs are left
out. Whether BUSBAR_ADMIN_TOKEN is set is said, what it holds isn't.
`

// parseServer is parseOptions for a command that has a help of its own, which it writes when that is asked for.
func parseServer(help *cli.Set, args []string, s streams) (*options, error) {
	o, err := parseOptions(args, s.getenv)
	if errors.Is(err, flag.ErrHelp) {
		err = errors.Join(err, writeHelp(s.out, help))
	}
	return o, err
}

// printConfig is the command config.
func printConfig(args []string, s streams) error {
	o, err := parseServer(cli.New("busbar config", configUsage), args, s)
	if err != nil {
		return err
	}
	if o.AdminToken != "" {
		fmt.Fprintln(s.out, "# the admin token is from BUSBAR_ADMIN_TOKEN")
	}
	return o.flags.WriteValues(s.out, o.flags.Flag("config"))
}

const doctorUsage = `Looks at this host and says how many connections a busbar here holds, what runs out first, and what
would change that.

Usage: busbar doctor [-connections N] [-json | -fix-print] [the server's flags]

Give it what the server is given: it takes all flags of "busbar serve", and their variables. It
changes nothing. Its exit codes:

  0  a server can start here; what is marked WARN costs connections, speed, or safety
  1  something keeps a server from starting (FAIL)
  2  a flag or a value is wrong
`

// doctorFlags are those that the server doesn't have.
type doctorFlags struct {
	connections    int
	json, fixPrint bool
}

func (d *doctorFlags) add(t *cli.Set) {
	t.Group("Flags")
	t.Env = false
	t.Add("connections", cli.Int(&d.connections, 0, maxConnections),
		"connections that this host is meant to hold; 0 = as many as it can, and no warnings for their number")
	t.Add("json", cli.Bool(&d.json), "prints the report as one JSON object")
	t.Add("fix-print", cli.Bool(&d.fixPrint),
		"prints only the sysctl and systemd lines with which this host holds -connections, and in comments what no such line changes")
}

// examineHost is the command doctor.
func examineHost(args []string, s streams) error {
	var d doctorFlags
	shares := memory.Defaults()
	o := defaultOptions(shares)
	o.flags.Command = "busbar doctor"
	d.add(o.flags)
	err := o.parse(args, s.getenv, shares)
	switch {
	case errors.Is(err, flag.ErrHelp):
		help := cli.New("busbar doctor", doctorUsage)
		d.add(help)
		return errors.Join(err, writeHelp(s.out, help))
	case err != nil:
		return err
	case d.fixPrint && (d.json || d.connections == 0):
		return cli.Usagef("-fix-print: it goes with -connections N, and without -json")
	}
	r := doctor.Examine(o.doctorServer(), d.connections)
	switch {
	case d.json:
		err = r.WriteJSON(s.out)
	case d.fixPrint:
		err = r.WriteFix(s.out)
	default:
		err = r.WriteText(s.out)
	}
	if err == nil && r.Failures > 0 {
		err = fmt.Errorf("doctor: a server can't start here: %s", cli.Plural(r.Failures, "FAIL", "FAILs"))
	}
	return err
}

func (o *options) doctorServer() *doctor.Server {
	log, flag := o.Log.inMemory()
	return &doctor.Server{
		Hub: o.Hub, API: o.API.Address, Data: o.Data, RowsFetched: o.RowsURL != "", LogBytes: log, LogFlag: flag, Reserve: o.reserve,
	}
}

// flagsPage opens docs/flags.md.
const flagsPage = "# The server's flags\n" + `
This page is what ` + "`busbar help -markdown`" + ` prints. A flag on the command line beats its variable, which beats
the file that ` + "`-config`" + ` names, which beats the default. ` + "`busbar config`" + `, with the same flags, shows what is in
force and where it is from. Sizes are in bytes or have a unit (64KiB is 65536, 64KB is 64000), durations have one
(500ms, 1m30s). Defaults in bytes are less where there is little memory.

The commands serve, config, doctor, health, log copy and log bump nats take all of these flags and read the file of
` + "`-config`" + `. Other commands don't: they take those of ` + "`-data`, `-api`, `-url`" + ` and the like that their ` + "`-help`" + ` shows.

A file has a flag a line, without the dash, and its value behind = or a space; # begins a comment. A name that no flag
has is an error. The admin token is no flag: it is in the data directory, in the file that ` + "`-admin-token-file`" + `
names, or in BUSBAR_ADMIN_TOKEN.

Values of flags that are reloadable, and what is in the files that they name, count without a restart once the server
has read the file of ` + "`-config`" + ` again: ` + "`busbar reload`" + `, or SIGHUP. Others keep their values, and are named.

    listen = :4322
    origins = https://app.example.com
    max-per-ip 200      # an office behind one address
`
