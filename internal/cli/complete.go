package cli

import (
	"bytes"
	"fmt"
	"io"
	"slices"
	"strings"
)

// Shells are those that WriteCompletion knows.
var Shells = []string{"bash", "zsh", "fish"}

// WriteCompletion writes what a shell completes the program's commands, flags and values by. The program's own table
// comes first.
func WriteCompletion(w io.Writer, shell string, tables []*Set) error {
	var b bytes.Buffer
	program := tables[0].Command
	start := map[string]string{"bash": bashStart, "zsh": zshStart, "fish": fishStart}[shell]
	b.WriteString(strings.NewReplacer("PROGRAM", program, "COMMANDS", commandsOf(tables, shell)).Replace(start))
	for _, t := range tables {
		switch shell {
		case "bash":
			t.completeBash(&b, tables)
		case "zsh":
			t.completeZsh(&b, tables)
		case "fish":
			t.completeFish(&b, tables)
		}
	}
	b.WriteString(strings.ReplaceAll(map[string]string{"bash": bashEnd, "zsh": zshEnd}[shell], "PROGRAM", program))
	_, err := w.Write(b.Bytes())
	return err
}

// Each script walks from the program to the command that is being typed, along words that commands are known by.
const (
	bashStart = `# bash completion for PROGRAM
_PROGRAM() {
	local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]} at=PROGRAM word
	for word in "${COMP_WORDS[@]:1:COMP_CWORD-1}"; do
		case "$at $word" in
		COMMANDS) at="$at $word" ;;
		*) break ;;
		esac
	done
	COMPREPLY=()
	case "$at:$prev" in
`
	bashEnd = `	esac
} && complete -F _PROGRAM PROGRAM
`
	zshStart = `#compdef PROGRAM
_PROGRAM() {
	local at=PROGRAM word
	local -i depth=1
	for word in "${(@)words[2,CURRENT-1]}"; do
		case "$at $word" in
		COMMANDS) at="$at $word"; depth+=1 ;;
		*) break ;;
		esac
	done
	words=("${(@)words[depth,-1]}")
	CURRENT=$((CURRENT - depth + 1))
	case "$at" in
`
	zshEnd = `	esac
}
_PROGRAM "$@"
`
	fishStart = `# fish completion for PROGRAM
function __PROGRAM_at
	set -l at PROGRAM
	for word in (commandline -opc)[2..-1]
		switch "$at $word"
			case COMMANDS
				set at "$at $word"
			case '*'
				break
		end
	end
	test "$at" = "$argv"
end
complete -c PROGRAM -f
`
)

// commandsOf are all commands but the program, as a pattern of a shell's case.
func commandsOf(tables []*Set, shell string) string {
	var all []string
	for _, t := range tables[1:] {
		all = append(all, "'"+t.Command+"'")
	}
	if shell == "fish" {
		return strings.Join(all, " ")
	}
	return strings.Join(all, "|")
}

// below are the commands right below this one, and what they are for.
func (s *Set) below(tables []*Set) (names, meanings []string) {
	for _, t := range tables {
		if name, found := strings.CutPrefix(t.Command, s.Command+" "); found && !strings.Contains(name, " ") {
			first, _, _ := strings.Cut(t.Usage, "\n")
			names, meanings = append(names, name), append(meanings, strings.TrimSuffix(first, "."))
		}
	}
	return names, meanings
}

// taken are the flags that a command takes: those in its table, and the program's where its help says so.
func (s *Set) taken(tables []*Set) []*Flag {
	flags := slices.Clone(s.Flags)
	if s != tables[0] && strings.Contains(s.Usage, "[the server's flags]") {
		flags = append(flags, tables[0].Flags...)
	}
	return flags
}

// words are those that a flag's value is one of; nil when it may be anything.
func (f *Flag) words() []string {
	if strings.Contains(f.Unit, "|") {
		return strings.Split(f.Unit, "|")
	}
	return nil
}

func (s *Set) completeBash(b *bytes.Buffer, tables []*Set) {
	words, _ := s.below(tables)
	var files, others []string
	for _, f := range s.taken(tables) {
		words = append(words, "-"+f.Name)
		pattern := fmt.Sprintf("'%s:-%s'", s.Command, f.Name)
		switch {
		case f.words() != nil:
			fmt.Fprintf(b, "\t%s) COMPREPLY=($(compgen -W '%s' -- \"$cur\")) ;;\n", pattern, strings.Join(f.words(), " "))
		case f.Unit == "file" || f.Unit == "directory":
			files = append(files, pattern)
		case f.Unit != "":
			others = append(others, pattern)
		}
	}
	if len(files) > 0 {
		fmt.Fprintf(b, "\t%s) compopt -o filenames; COMPREPLY=($(compgen -f -- \"$cur\")) ;;\n", strings.Join(files, "|"))
	}
	if len(others) > 0 {
		fmt.Fprintf(b, "\t%s) ;;\n", strings.Join(others, "|"))
	}
	fmt.Fprintf(b, "\t'%s':*) COMPREPLY=($(compgen -W '%s' -- \"$cur\")) ;;\n", s.Command, strings.Join(words, " "))
}

func (s *Set) completeZsh(b *bytes.Buffer, tables []*Set) {
	quote := strings.NewReplacer("'", `'\''`, "[", `\[`, "]", `\]`, ":", `\:`)
	fmt.Fprintf(b, "\t'%s')\n\t\t_arguments", s.Command)
	for _, f := range s.taken(tables) {
		value := ""
		switch {
		case f.words() != nil:
			value = fmt.Sprintf(":%s:(%s)", f.Name, strings.Join(f.words(), " "))
		case f.Unit == "file":
			value = ":file:_files"
		case f.Unit == "directory":
			value = ":directory:_directories"
		case f.Unit != "":
			value = ":" + quote.Replace(f.Unit) + ": "
		}
		fmt.Fprintf(b, " \\\n\t\t\t'-%s[%s]%s'", f.Name, quote.Replace(f.Meaning), value)
	}
	if names, meanings := s.below(tables); len(names) > 0 {
		b.WriteString(" \\\n\t\t\t'1:command:((")
		for i, name := range names {
			fmt.Fprintf(b, "%s\\:\"%s\" ", name, strings.NewReplacer("'", `'\''`, ":", `\:`, `"`, "").Replace(meanings[i]))
		}
		b.WriteString("))'")
	} else if s.Operands > 0 {
		b.WriteString(" \\\n\t\t\t'*:file:_files'")
	}
	b.WriteString("\n\t\t;;\n")
}

func (s *Set) completeFish(b *bytes.Buffer, tables []*Set) {
	quote := strings.NewReplacer(`\`, `\\`, "'", `\'`)
	at := fmt.Sprintf("complete -c %s -n '__%[1]s_at %s'", tables[0].Command, s.Command)
	names, meanings := s.below(tables)
	for i, name := range names {
		fmt.Fprintf(b, "%s -a %s -d '%s'\n", at, name, quote.Replace(meanings[i]))
	}
	for _, f := range s.taken(tables) {
		value := ""
		switch {
		case f.words() != nil:
			value = fmt.Sprintf(" -x -a '%s'", strings.Join(f.words(), " "))
		case f.Unit == "file" || f.Unit == "directory":
			value = " -r -F"
		case f.Unit != "":
			value = " -x"
		}
		fmt.Fprintf(b, "%s -o %s%s -d '%s'\n", at, f.Name, value, quote.Replace(f.Meaning))
	}
}
