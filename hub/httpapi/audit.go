package httpapi

import (
	"context"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/busbar-ws/busbar/hub"
)

// audit is the log line of an admin's call that changes something. Calls that publish have none: what they publish is
// in the change log. It belongs to its request's goroutine.
type audit struct {
	by     *hub.Identity
	target []any // attributes that name what was changed. Invariant: no token, nothing of a payload
}

// audited has a call's line written once it is answered, whatever the answer is.
func audited(w http.ResponseWriter, r *http.Request, by *hub.Identity) {
	rec, ok := w.(*recorder)
	if ok && r.Method != http.MethodGet && r.Method != http.MethodHead {
		rec.audit = &audit{by: by}
	}
}

// auditTarget says what a call is about: pairs of a name and a value.
func auditTarget(w http.ResponseWriter, target ...any) {
	if rec, ok := w.(*recorder); ok && rec.audit != nil {
		rec.audit.target = target
	}
}

// writeAudit bypasses the log's level: whoever lowers that must not be able to hide in it.
func (a *api) writeAudit(rec *recorder) {
	by := "admin token"
	if rec.audit.by.UserID != "" {
		by = "admin user"
	}
	line := slog.NewRecord(time.Now(), slog.LevelInfo, "admin call", 0)
	line.Add("by", by)
	if rec.audit.by.UserID != "" {
		line.Add("by_user", rec.audit.by.UserID)
	}
	method, path, _ := strings.Cut(routeOf(rec.request), " ")
	line.Add("address", rec.request.RemoteAddr, "method", method, "path", path)
	line.Add(rec.audit.target...)
	line.Add("status", rec.answered())
	_ = a.Logger.Handler().Handle(context.WithoutCancel(rec.request.Context()), line)
}
