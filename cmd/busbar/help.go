package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"maps"
	"math"
	"slices"

	"github.com/busbar-ws/busbar/internal/cli"
	"github.com/busbar-ws/busbar/internal/memory"
)

const helpUsage = `Prints the server's flags, or what else follows from the tables of flags.

Usage: busbar help [-markdown | -man | -completion bash|zsh|fish]
       busbar help COMMAND    prints what that command's -help does
`

// help asks all commands for their tables, and so can't be in a literal that it refers to.
func init() { commands["help"] = help }

// help is the command of that name.
func help(args []string, s streams) error {
	var markdown, man bool
	var shell string
	t := cli.New("busbar help", helpUsage)
	t.Group("Flags")
	t.Add("markdown", cli.Bool(&markdown), "the server's flags as docs/flags.md has them")
	t.Add("man", cli.Bool(&man), "all commands and their flags as a man page")
	t.Add("completion", cli.Word(&shell, cli.Shells...), "the file that this shell completes commands and flags by")
	_, err := parseOrHelp(t, args, s)
	switch {
	case err != nil:
		return err
	case shell != "":
		return cli.WriteCompletion(s.out, shell, allTables())
	case man:
		return cli.WriteMan(s.out, "busbar", "WebSocket fan-out server", version, allTables())
	case markdown:
		fmt.Fprint(s.out, flagsPage)
		return helpFlags().WriteMarkdown(s.out)
	}
	return helpFlags().WriteHelp(s.out)
}

// helpFlags are the server's flags with the defaults of a host that has memory enough.
func helpFlags() *cli.Set { return defaultOptions(memory.Share(math.MaxInt64)).flags }

// tables is standard output for a command that is asked for its help only for the sake of its table.
type tables struct {
	io.Writer
	all []*cli.Set
}

// writeHelp writes a command's help.
func writeHelp(w io.Writer, t *cli.Set) error {
	if collected, ok := w.(*tables); ok {
		collected.all = append(collected.all, t)
		return nil
	}
	return t.WriteHelp(w)
}

// allTables are those of all commands, the server's first.
func allTables() []*cli.Set {
	t := &tables{Writer: io.Discard}
	s := streams{out: t, err: io.Discard, getenv: func(string) string { return "" }}
	others := maps.Clone(commands)
	delete(others, "serve") // whose table is the program's
	t.askEach(others, s)
	return slices.Concat([]*cli.Set{helpFlags(), cli.New("busbar serve", serveCommandUsage)}, t.all)
}

const serveCommandUsage = `Runs the server, as busbar without a command does.

Usage: busbar serve [the server's flags]
`

// askEach has commands hand over their tables.
func (t *tables) askEach(c map[string]command, s streams) {
	for _, name := range slices.Sorted(maps.Keys(c)) {
		if err := c[name]([]string{"-help"}, s); !errors.Is(err, flag.ErrHelp) {
			panic(fmt.Sprintf("-help of %s ends with %v", name, err)) // a test asks them all
		}
	}
}
