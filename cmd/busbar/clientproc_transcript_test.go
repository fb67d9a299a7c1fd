package main

import (
	"strings"
	"sync"
)

// transcript is what went to and fro. It is safe from any goroutine, and keeps the last lines only.
type transcript struct {
	mu    sync.Mutex
	lines []string
}

const (
	maxTranscriptLines = 200
	maxTranscriptLine  = 400 // bytes
)

func (l *transcript) add(line string) {
	if len(line) > maxTranscriptLine {
		line = line[:maxTranscriptLine] + "…"
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lines = append(l.lines, line)
	if len(l.lines) > maxTranscriptLines {
		l.lines = l.lines[1:]
	}
}

// Write takes what the child prints on standard error.
func (l *transcript) Write(p []byte) (int, error) {
	l.add("! " + strings.TrimRight(string(p), "\n"))
	return len(p), nil
}

func (l *transcript) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return "transcript (> to the client, < from it, ! trouble):\n" + strings.Join(l.lines, "\n")
}
