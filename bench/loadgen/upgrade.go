package loadgen

import (
	"bytes"
	"errors"
	"fmt"
)

// One key for all clients: the answer to it is known, and a server can't tell.
const (
	upgradeKey    = "dGhlIHNhbXBsZSBub25jZQ=="     // the example of RFC 6455 1.3
	upgradeAccept = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" // and its answer
)

// maxResponse bounds a server's answer to the upgrade, in bytes.
const maxResponse = 4096

var errUpgrade = errors.New("the upgrade was refused")

// withCursor is the target of a client that wants to be told of what it loses (Busbar's since); other servers
// don't look at the query.
const withCursor = "/?since=0"

func upgradeRequest(host, target, token string) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "GET %s HTTP/1.1\r\nHost: %s\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"+
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: %s\r\n", target, host, upgradeKey)
	if token != "" {
		fmt.Fprintf(&b, "Authorization: Bearer %s\r\n", token)
	}
	b.WriteString("\r\n")
	return b.Bytes()
}

// checkUpgrade reads the answer. size is 0 while it isn't complete; what lies behind it
// are frames.
func checkUpgrade(b []byte) (size int, err error) {
	end := bytes.Index(b, []byte("\r\n\r\n"))
	if end < 0 {
		if len(b) > maxResponse {
			return 0, fmt.Errorf("%w: no end of the header in %d bytes", errUpgrade, len(b))
		}
		return 0, nil
	}
	status, fields, _ := bytes.Cut(b[:end], []byte("\r\n"))
	if !bytes.HasPrefix(status, []byte("HTTP/1.1 101")) {
		return 0, fmt.Errorf("%w: %.80s", errUpgrade, status)
	}
	for line := range bytes.SplitSeq(fields, []byte("\r\n")) {
		name, value, _ := bytes.Cut(line, []byte(":"))
		if bytes.EqualFold(name, []byte("Sec-WebSocket-Accept")) && string(bytes.TrimSpace(value)) == upgradeAccept {
			return end + 4, nil
		}
	}
	return 0, fmt.Errorf("%w: the key wasn't answered (RFC 6455 4.1)", errUpgrade)
}
