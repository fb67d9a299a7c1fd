package trouble

import (
	"log/slog"
	"strings"
	"testing"
	"time"
)

func TestTroubleLogLeavesOutWhatComesWithinASecond(t *testing.T) {
	var text strings.Builder
	logger := slog.New(slog.NewTextHandler(&text, &slog.HandlerOptions{ReplaceAttr: withoutTime}))
	var trouble Log
	start := time.Unix(1_000_000, 0)
	for _, after := range []time.Duration{0, 1, Interval - 1, Interval, 2 * Interval} {
		trouble.Warn(logger, start.Add(after), "trouble", "after", after)
	}
	const want = "level=WARN msg=trouble after=0s\n" +
		"level=WARN msg=trouble after=1s left_out=2\n" +
		"level=WARN msg=trouble after=2s\n"
	if text.String() != want {
		t.Errorf("logged\n%swant\n%s", text.String(), want)
	}
}

func withoutTime(_ []string, a slog.Attr) slog.Attr {
	if a.Key == slog.TimeKey {
		return slog.Attr{}
	}
	return a
}
