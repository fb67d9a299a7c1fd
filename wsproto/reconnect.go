package wsproto

import (
	"strconv"
	"strings"
	"time"
)

// reconnectAfter begins the reason of a Close 1012 that says when the client is to come back.
const reconnectAfter = "reconnect-after="

// maxReconnect is more than anybody is told to wait, and bounds what ParseReconnectAfter believes.
const maxReconnect = time.Hour

// ReconnectAfter is the reason of a Close that tells the client to come back after so long, to a tenth of
// a second: "reconnect-after=2.4s".
func ReconnectAfter(d time.Duration) string {
	d = min(max(d, 0), maxReconnect)
	return reconnectAfter + strconv.FormatFloat(d.Seconds(), 'f', 1, 64) + "s"
}

// ParseReconnectAfter reads a reason of that form, with up to three decimals (docs/protocol.md section 3).
// ok is false for any other.
func ParseReconnectAfter(reason string) (d time.Duration, ok bool) {
	text, begins := strings.CutPrefix(reason, reconnectAfter)
	text, ends := strings.CutSuffix(text, "s")
	whole, decimals, point := strings.Cut(text, ".")
	if !begins || !ends || !isDigits(whole, 9) || point && !isDigits(decimals, 3) {
		return 0, false
	}
	seconds, err := strconv.ParseFloat(text, 64)
	if err != nil {
		return 0, false
	}
	return min(time.Duration(seconds*float64(time.Second)), maxReconnect), true
}

// isDigits is whether text is 1 to most digits.
func isDigits(text string, most int) bool {
	return text != "" && len(text) <= most && strings.Trim(text, "0123456789") == ""
}
