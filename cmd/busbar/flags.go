package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"strings"
)

// flagTable declares the flags of one command and reads them. It belongs to the
// goroutine that starts the command. A flag's name, unit, default, range and
// meaning stand in its declaration and nowhere else.
type flagTable struct {
	// command is what a person types to get here, such as "busbar session create".
	command string
	// usage is the text that opens the help.
	usage string
	// maxOperands bounds the arguments that aren't flags.
	maxOperands int
	// environment says whether flags declared from here on have an environment name.
	environment bool

	group    string
	settings []*setting
	flags    *flag.FlagSet
	rejected error // what the setting said that refused its text
}

// usageError is a mistake on the command line or in the environment: one line that
// names the flag or variable, the value, and what would do. The process exits with 2.
type usageError string

func (e usageError) Error() string { return string(e) }

func usagef(format string, args ...any) error {
	return usageError(strings.ReplaceAll(fmt.Sprintf(format, args...), "\n", " "))
}

// newFlagTable is a table without flags for one command. usage may take several lines.
func newFlagTable(command, usage string) *flagTable {
	t := &flagTable{command: command, usage: usage}
	t.flags = flag.NewFlagSet(command, flag.ContinueOnError)
	t.flags.SetOutput(io.Discard)
	t.flags.Usage = func() {}
	return t
}

// Group starts a group of flags in the help.
func (t *flagTable) Group(name string) { t.group = name }

// add makes s a flag of this table and gives it its default.
func (t *flagTable) add(s *setting) *setting {
	s.table, s.group = t, t.group
	if t.environment {
		s.env = environmentName(s.name)
	}
	t.settings = append(t.settings, s)
	t.flags.Var(s, s.name, s.meaning)
	return s
}

// environmentName is the variable that stands in for a flag.
func environmentName(flagName string) string {
	return "BUSBAR_" + strings.ToUpper(strings.ReplaceAll(flagName, "-", "_"))
}

// parse reads the arguments after the command's name, then the environment for the
// flags that weren't given. Flags may follow operands, unless "--" stands between.
// The error is flag.ErrHelp when help was asked for, and a usageError otherwise.
func (t *flagTable) parse(args []string, getenv func(string) string) (operands []string, err error) {
	for {
		if err := t.flags.Parse(args); err != nil {
			return nil, t.explain(err)
		}
		rest := t.flags.Args()
		if len(rest) == 0 {
			break
		}
		parsed := len(args) - len(rest)
		if parsed > 0 && args[parsed-1] == "--" {
			operands = append(operands, rest...)
			break
		}
		operands, args = append(operands, rest[0]), rest[1:]
	}
	if len(operands) > t.maxOperands {
		return nil, t.unexpected(operands[t.maxOperands])
	}
	return operands, t.parseEnvironment(getenv)
}

func (t *flagTable) parseEnvironment(getenv func(string) string) error {
	for _, s := range t.settings {
		if s.env == "" || s.given != "" {
			continue
		}
		if text := getenv(s.env); text != "" {
			if err := s.take(text, s.env); err != nil {
				return err
			}
		}
	}
	return nil
}

// setting finds a flag by name; nil when there is none.
func (t *flagTable) setting(name string) *setting {
	for _, s := range t.settings {
		if s.name == name {
			return s
		}
	}
	return nil
}

// given holds the flags that were set, by name, and how each was: "-loops" or "BUSBAR_LOOPS".
func (t *flagTable) given() map[string]string {
	sources := make(map[string]string)
	for _, s := range t.settings {
		if s.given != "" {
			sources[s.name] = s.given
		}
	}
	return sources
}

// explain says in our words what the flag package found wrong. It has no error
// values for that, only texts that begin alike.
func (t *flagTable) explain(err error) error {
	if errors.Is(err, flag.ErrHelp) {
		return err
	}
	if t.rejected != nil {
		return t.rejected
	}
	if name, found := strings.CutPrefix(err.Error(), "flag provided but not defined: -"); found {
		return t.unknown(name)
	}
	if name, found := strings.CutPrefix(err.Error(), "flag needs an argument: -"); found {
		return usagef("-%s: needs a value: %s", name, t.setting(name).accepts)
	}
	return usagef("%v; %s -help shows how flags are written", err, t.command)
}

func (t *flagTable) unknown(name string) error {
	if near := t.nearest(name); near != "" {
		return usagef("-%s: no such flag; did you mean -%s?", name, near)
	}
	return usagef("-%s: no such flag; %s -help lists them", name, t.command)
}

func (t *flagTable) unexpected(operand string) error {
	if _, ok := parseBool(operand); ok {
		return usagef("%q: unexpected argument; a true/false flag takes its value after =, as in -name=%s",
			operand, operand)
	}
	return usagef("%q: unexpected argument; %s -help shows what %s takes", operand, t.command, t.command)
}
