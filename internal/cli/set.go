// Package cli reads a command's flags: from its arguments, the environment and a file, in that order of precedence.
// A flag's name, range, unit and meaning stand in one line of a table, bound to the field that it sets, whose value
// then is the default. Nothing here is safe from several goroutines: a Set belongs to whoever starts the command.
package cli

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"unicode/utf8"
)

// UsageError is a mistake on the command line, in the environment or in a file: one line that names the flag, the
// value and what would do.
type UsageError string

func (e UsageError) Error() string { return string(e) }

// Usagef makes a UsageError of one line.
func Usagef(format string, args ...any) error {
	return UsageError(strings.ReplaceAll(fmt.Sprintf(format, args...), "\n", " "))
}

// Flag is one flag of a Set.
type Flag struct {
	Name    string
	Group   string
	Meaning string
	Env     string // variable that stands in for it; empty for none
	Default string // as the help shows it; empty for none
	Value
	Reload bool   // another value in the file counts once that is read again, without a restart
	Given  string // how the value came in: "-loops", "BUSBAR_LOOPS", "busbar.conf:3: loops"; empty for the default
}

// Set is the table of one command's flags.
type Set struct {
	Command  string // what a person types to get here, such as "busbar session create"
	Usage    string // opens the help
	Operands int    // how many arguments that aren't flags there may be
	Env      bool   // flags added from here on have variables
	Flags    []*Flag

	group    string
	std      *flag.FlagSet
	rejected error // what the flag said that refused its text
}

// New is a table without flags.
func New(command, usage string) *Set {
	s := &Set{Command: command, Usage: usage, std: flag.NewFlagSet(command, flag.ContinueOnError)}
	s.std.SetOutput(io.Discard)
	s.std.Usage = func() {}
	return s
}

// Group names the flags added from here on in the help.
func (s *Set) Group(name string) { s.group = name }

// Add adds a flag. Its default is what v's target holds.
func (s *Set) Add(name string, v Value, meaning string) *Flag {
	f := &Flag{Name: name, Group: s.group, Meaning: meaning, Value: v, Default: v.Show()}
	if s.Env {
		f.Env = EnvName(name)
	}
	s.Flags = append(s.Flags, f)
	take := func(text string) error { // the flag package keeps an error's text only
		s.rejected = f.Take(text, "-"+name)
		return s.rejected
	}
	if v.Unit == "" {
		s.std.BoolFunc(name, "", take)
	} else {
		s.std.Func(name, "", take)
	}
	return f
}

// AddShared is Add for a flag that several commands have: it has a variable in each of them.
func (s *Set) AddShared(name string, v Value, meaning string) *Flag {
	f := s.Add(name, v, meaning)
	f.Env = EnvName(name)
	return f
}

// EnvName is the variable that stands in for a flag.
func EnvName(flagName string) string {
	return "BUSBAR_" + strings.ToUpper(strings.ReplaceAll(flagName, "-", "_"))
}

// Parse reads arguments, and the environment for flags that aren't among them. Flags may follow operands, unless "--"
// stands between. The error is flag.ErrHelp when help was asked for, and a UsageError otherwise.
func (s *Set) Parse(args []string, getenv func(string) string) (operands []string, err error) {
	if operands, err = s.ParseArgs(args); err == nil {
		err = s.ParseEnv(getenv)
	}
	return operands, err
}

// ParseArgs is Parse without the environment.
func (s *Set) ParseArgs(args []string) (operands []string, err error) {
	for {
		if err := s.std.Parse(args); err != nil {
			return nil, s.explain(err)
		}
		rest := s.std.Args()
		if len(rest) == 0 {
			break
		}
		if parsed := len(args) - len(rest); parsed > 0 && args[parsed-1] == "--" {
			operands = append(operands, rest...)
			break
		}
		operands, args = append(operands, rest[0]), rest[1:]
	}
	if len(operands) > s.Operands {
		return nil, s.unexpected(operands[s.Operands])
	}
	return operands, nil
}

// ParseEnv reads the variables of flags that weren't given. An empty one counts as not set.
func (s *Set) ParseEnv(getenv func(string) string) error {
	for _, f := range s.Flags {
		if f.Env == "" || f.Given != "" {
			continue
		}
		if text := getenv(f.Env); text != "" {
			if err := f.Take(text, f.Env); err != nil {
				return err
			}
		}
	}
	return nil
}

// ParseFile reads a file for flags that weren't given: a line each, "name = value" or "name value". What follows a #
// at the beginning of a line, or behind a space, is a comment. The flag that names the file can't be in it.
func (s *Set) ParseFile(named *Flag) error {
	path := named.Show()
	text, err := os.ReadFile(path)
	if err != nil {
		return Usagef("%s: %v", named.Given, err)
	}
	seen := make(map[string]bool)
	for i, line := range strings.Split(string(text), "\n") {
		line, _, _ = strings.Cut(" "+strings.ReplaceAll(line, "\t", " "), " #")
		name, value, _ := strings.Cut(strings.TrimSpace(line), " ")
		if before, after, assigned := strings.Cut(strings.TrimSpace(line), "="); assigned && !strings.Contains(strings.TrimSpace(before), " ") {
			name, value = strings.TrimSpace(before), after
		}
		if name == "" {
			continue
		}
		where := fmt.Sprintf("%s:%d: %s", path, i+1, WithoutSecrets(name)) // "nats:nats://u:p@h" is one
		f := s.Flag(name)
		switch {
		case f == named || f != nil && f.Env == "":
			return Usagef("%s: isn't for a file", where)
		case f == nil:
			return s.unknown(where, name, "")
		case seen[name]:
			return Usagef("%s: is there twice", where)
		}
		if seen[name] = true; f.Given == "" {
			if err := f.Take(strings.TrimSpace(value), where); err != nil {
				return err
			}
		}
	}
	return nil
}

// Flag is the one of that name; nil when there is none.
func (s *Set) Flag(name string) *Flag {
	for _, f := range s.Flags {
		if f.Name == name {
			return f
		}
	}
	return nil
}

// Source names a flag as it was given, for an error: "-loops" also where it is the default.
func (s *Set) Source(name string) string {
	if given := s.Flag(name).Given; given != "" {
		return given
	}
	return "-" + name
}

// explain says in our words what the flag package found wrong. It has no error values for that, only texts that begin
// alike.
func (s *Set) explain(err error) error {
	if errors.Is(err, flag.ErrHelp) {
		return err
	}
	if s.rejected != nil {
		return s.rejected
	}
	if name, found := strings.CutPrefix(err.Error(), "flag provided but not defined: -"); found {
		return s.unknown("-"+name, name, "-")
	}
	if name, found := strings.CutPrefix(err.Error(), "flag needs an argument: -"); found {
		return Usagef("-%s: needs a value: %s", name, s.Flag(name).Accepts)
	}
	return Usagef("%v; %s -help shows how flags are written", err, s.Command)
}

func (s *Set) unknown(where, name, dash string) error {
	var names []string
	for _, f := range s.Flags {
		names = append(names, f.Name)
	}
	if near := Nearest(names, name); near != "" {
		return Usagef("%s: no such flag; did you mean %s%s?", where, dash, near)
	}
	return Usagef("%s: no such flag; %s -help lists them", where, s.Command)
}

func (s *Set) unexpected(operand string) error {
	if slices.Contains([]string{"true", "false"}, operand) {
		return Usagef("%q: unexpected argument; a true/false flag takes its value after =, as in -name=%s", operand, operand)
	}
	return Usagef("%q: unexpected argument; %s -help shows what %s takes", operand, s.Command, s.Command)
}

// Reloads says that the flag is one of those whose values can change while the process runs.
func (f *Flag) Reloads() { f.Reload = true }

// meaning is what the help says of the flag.
func (f *Flag) meaning() string {
	if f.Reload {
		return f.Meaning + " (reloadable)"
	}
	return f.Meaning
}

// Take sets the flag to text, which came from source.
func (f *Flag) Take(text, source string) error {
	if !f.Bytes && !utf8.ValidString(text) {
		return Usagef("%s: %q isn't UTF-8", source, f.masked(text))
	}
	if !f.Set(text) {
		return Usagef("%s: %q isn't %s", source, f.masked(text), f.Accepts)
	}
	f.Given = source
	return nil
}

func (f *Flag) masked(text string) string {
	if f.Mask != nil {
		return f.Mask(text)
	}
	return text
}

// Nearest is the name that a misspelt one most likely meant, or empty. One that was broken off ("max-conn") counts as
// near, else up to a third of it may differ.
func Nearest(names []string, name string) string {
	best, distance := "", len(name)/3+1
	for _, known := range names {
		d := editDistance(name, known)
		if len(name) >= 3 && strings.HasPrefix(known, name) {
			d = 0
		}
		if d < distance {
			best, distance = known, d
		}
	}
	return best
}

// editDistance counts the single-byte insertions, deletions and replacements that turn a into b (Levenshtein).
func editDistance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			replace := diagonal
			if a[i] != b[j] {
				replace++
			}
			diagonal = row[j+1]
			row[j+1] = min(replace, row[j]+1, diagonal+1)
		}
	}
	return row[len(b)]
}
