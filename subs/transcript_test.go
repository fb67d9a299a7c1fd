package subs

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// TestTranscripts plays testdata/*.txt. A line is "what happens => what is seen";
// a line that starts with a number happens on that loop.
func TestTranscripts(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no transcripts: %v", err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) { playFile(t, file) })
	}
}

func playFile(t *testing.T, file string) {
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var s stage
	for i, line := range strings.Split(string(text), "\n") {
		line, _, _ = strings.Cut(line, "#")
		if strings.TrimSpace(line) == "" {
			continue
		}
		do, want, _ := strings.Cut(line, "=>")
		got, err := s.play(strings.Fields(do))
		if err != nil {
			t.Fatalf("%s:%d: %v", file, i+1, err)
		}
		if got != strings.TrimSpace(want) {
			t.Errorf("%s:%d: %s: got %q, want %q", file, i+1, strings.TrimSpace(do), got, strings.TrimSpace(want))
		}
	}
}

// stage is what a transcript happens on: a table and an index per loop.
type stage struct {
	table   *Table
	indexes []*Index
}

func (s *stage) play(words []string) (string, error) {
	switch words[0] {
	case "loops":
		n, err := strconv.Atoi(words[1])
		s.table = NewTable(n)
		for loop := range n + 1 { // one more, for the loop that isn't there
			s.indexes = append(s.indexes, NewIndex(s.table, loop))
		}
		return "", err
	case "keys":
		return strconv.Itoa(s.table.Keys()), nil
	case "wanted":
		return s.wanted(words[1]), nil
	case "publish":
		return s.publish(words[1], words[2:]), nil
	}
	loop, err := strconv.Atoi(words[0])
	if err != nil || loop >= len(s.indexes) {
		return "", fmt.Errorf("unknown line %q", words)
	}
	return playOn(s.indexes[loop], words[1:])
}

func (s *stage) wanted(name string) string {
	key := s.table.Lookup(name)
	if key == nil {
		return "-"
	}
	var loops []string
	for loop := range key.Loops {
		loops = append(loops, strconv.Itoa(loop))
	}
	return strings.Join(loops, " ")
}

func (s *stage) publish(name string, failing []string) string {
	key := s.table.Lookup(name)
	if key == nil {
		return "nobody"
	}
	var seen []string
	for loop := range key.Loops {
		var clients []string
		for client := range subscribers(s.indexes[loop], key) {
			word := strconv.Itoa(int(client))
			clients = append(clients, word)
			if slices.Contains(failing, word) {
				s.indexes[loop].Leave(client)
			}
		}
		slices.Sort(clients)
		seen = append(seen, fmt.Sprintf("%d:%s", loop, strings.Join(clients, ",")))
	}
	return strings.Join(seen, " ")
}

func playOn(x *Index, words []string) (string, error) {
	if words[0] == "count" {
		return strconv.Itoa(x.Count()), nil
	}
	number, err := strconv.ParseUint(words[1], 10, 32)
	if err != nil {
		return "", err
	}
	client := uint32(number)
	switch words[0] {
	case "subscribe":
		return either(x.Subscribe(client, words[2]), "new", "no"), nil
	case "unsubscribe":
		return either(x.Unsubscribe(client, words[2]), "gone", "none"), nil
	case "has":
		return either(x.Has(client, words[2]), "yes", "no"), nil
	case "leave":
		return strconv.Itoa(x.Leave(client)), nil
	case "names":
		names := slices.Sorted(x.Names(client))
		return either(len(names) > 0, strings.Join(names, " "), "-"), nil
	}
	return "", fmt.Errorf("unknown line %q", words)
}

func either(cond bool, yes, no string) string {
	if cond {
		return yes
	}
	return no
}
