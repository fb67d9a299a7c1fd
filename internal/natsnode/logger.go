package natsnode

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// logger writes what the server says to slog, a level lower: its warnings are also about what a cluster that is
// starting doesn't have yet. What it says again and again, as of a node that it can't reach, is written every
// repeatAfter.
type logger struct {
	*slog.Logger
	mu   sync.Mutex
	said map[string]*rate.Sometimes // by format
}

const repeatAfter = 10 * time.Second

func (l *logger) say(level slog.Level, format string, v []any) {
	if strings.HasPrefix(format, "Plaintext passwords detected") { // the secret, which is in a file
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.said == nil {
		l.said = make(map[string]*rate.Sometimes)
	}
	if l.said[format] == nil {
		l.said[format] = &rate.Sometimes{First: 3, Interval: repeatAfter}
	}
	l.said[format].Do(func() {
		text := fmt.Sprintf(format, v...)
		if strings.Contains(text, "Authorization Violation") || strings.Contains(text, "authentication error") {
			text += " (all nodes need the same secret, and certificates or none)"
		}
		l.Log(context.Background(), level, "NATS: "+text)
	})
}

func (l *logger) Noticef(format string, v ...any) { l.say(slog.LevelDebug, format, v) }
func (l *logger) Warnf(format string, v ...any)   { l.say(slog.LevelInfo, format, v) }
func (l *logger) Errorf(format string, v ...any)  { l.say(slog.LevelWarn, format, v) }
func (l *logger) Fatalf(format string, v ...any)  { l.say(slog.LevelError, format, v) }
func (l *logger) Debugf(string, ...any)           {}
func (l *logger) Tracef(string, ...any)           {}
