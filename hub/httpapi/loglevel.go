package httpapi

import (
	"log/slog"
	"net/http"
	"strings"
)

// logLevel is the body of PUT /v1/log-level, and the answer of GET.
type logLevel struct {
	Level string `json:"level"`
}

// logLevels are those that -log-level has. slog knows numbers between them.
var logLevels = map[string]slog.Level{
	"debug": slog.LevelDebug, "info": slog.LevelInfo, "warn": slog.LevelWarn, "error": slog.LevelError,
}

func (a *api) getLogLevel(w http.ResponseWriter, _ *http.Request) error {
	return writeJSON(w, logLevel{strings.ToLower(a.LogLevel.Level().String())})
}

func (a *api) putLogLevel(w http.ResponseWriter, r *http.Request) error {
	body, done, err := a.readJSON(w, r)
	if err != nil {
		return err
	}
	defer done()
	var asked logLevel
	if err := decodeBody(body, &asked); err != nil {
		return err
	}
	level, ok := logLevels[asked.Level]
	if !ok {
		return invalidField("level", "must be debug, info, warn or error")
	}
	auditTarget(w, "level", asked.Level)
	a.LogLevel.Set(level)
	return noContent(w)
}
