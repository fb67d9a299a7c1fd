package wsproto

import (
	"bufio"
	"bytes"
	"crypto/sha1"
	"encoding/base64"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/gobwas/ws"
)

// Whatever the stream is and however it is cut, the same comes out; decodeIn
// also watches what is held and consumed.
func FuzzDecode(f *testing.F) {
	for seed := range uint64(8) {
		stream, _ := conversation(rand.New(rand.NewPCG(seed, 9)), 4)
		f.Add(stream, seed, 1000)
	}
	f.Add(frames(clientFrame(false, ws.OpText, "\xf0\x9f"), clientFrame(true, ws.OpContinuation, "\x9a\x8c")), uint64(1), 4)
	f.Add(clientFrame(true, ws.OpClose, closePayload(1000, "bye")), uint64(2), 0)
	f.Add([]byte{0x82, 0x80 | 127, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1, 2, 3, 4}, uint64(3), -1)
	f.Add([]byte{0x82, 0x80 | 127, 0, 0, 0, 0, 0, 1, 0, 0, 1, 2, 3, 4, 5}, uint64(3), int(^uint(0)>>1))
	f.Fuzz(func(t *testing.T, stream []byte, seed uint64, maxMessage int) {
		want := whole(stream, maxMessage)
		expectEvents(t, "byte by byte", perByte(stream, maxMessage), want)
		random := rand.New(rand.NewPCG(seed, 10))
		most := 1 + random.IntN(300)
		expectEvents(t, "in random pieces", decodeIn(stream, maxMessage, func() int { return random.IntN(most) }), want)
		for _, e := range want {
			if strings.HasPrefix(e, "holds") || strings.HasPrefix(e, "wants") || strings.HasPrefix(e, "not a") {
				t.Error(e)
			}
			checkEvent(t, e, maxMessage)
		}
	})
}

func checkEvent(t *testing.T, e string, maxMessage int) {
	var op ws.OpCode
	var payload []byte
	if n, _ := fmt.Sscanf(e, "%x %x", &op, &payload); n != 2 {
		return
	}
	switch most := max(maxMessage, 0); {
	case op == ws.OpText && !utf8.Valid(payload):
		t.Errorf("text that isn't UTF-8: %s", e)
	case op.IsControl() && len(payload) > maxControl, !op.IsControl() && len(payload) > most:
		t.Errorf("payload of %d bytes, the limit is %d", len(payload), most)
	case op == ws.OpContinuation || op.IsReserved():
		t.Errorf("opcode %x came out", byte(op))
	}
}

func FuzzClosePayload(f *testing.F) {
	for _, p := range []string{"", "\x03", "\x03\xe8", "\x03\xe8bye", "\x03\xed", "\x0f\xa0\xff", "\x13\x88", "\x03\xf5" + strings.Repeat("é", 70)} {
		f.Add([]byte(p))
	}
	f.Fuzz(func(t *testing.T, payload []byte) {
		code, reason, err := ParseClose(payload)
		if err != nil {
			return
		}
		if len(payload) == 0 {
			if code != ws.StatusNoStatusRcvd || reason != "" {
				t.Errorf("nothing was read as %d %q", code, reason)
			}
			return
		}
		if !ValidOnWire(code) || !utf8.ValidString(reason) || closePayload(int(code), reason) != string(payload) {
			t.Fatalf("% x was read as %d %q", payload, code, reason)
		}
		frame := AppendClose(nil, code, reason)
		again, cut, err := ParseClose(frame[2:])
		if len(frame) > 2+maxControl || int(frame[1]) != len(frame)-2 || err != nil || again != code || !strings.HasPrefix(reason, cut) {
			t.Errorf("%d %q was sent as % x", code, reason, frame)
		}
		if len(payload) <= maxControl && cut != reason {
			t.Errorf("%q was cut to %q", reason, cut)
		}
	})
}

// The oracle is net/url's query unescaping, which has the same strictness.
func FuzzBearer(f *testing.F) {
	for _, list := range []string{"bearer.abc", "chat, bearer.a%2Fb+c ,bearer.x", "bearer.%zz,bearer.%ff,bearer.,bearer.ok", "bearer.a%", "\tbearer.%C3%A9\t", "bearer.\xff"} {
		f.Add([]byte(list))
	}
	f.Fuzz(func(t *testing.T, list []byte) {
		entry, token, ok := BearerProtocol(list)
		wantEntry, wantToken := "", ""
		for offered := range strings.SplitSeq(string(list), ",") {
			offered = strings.Trim(offered, " \t")
			encoded, isBearer := strings.CutPrefix(offered, "bearer.")
			decoded, err := url.QueryUnescape(encoded)
			legal := !strings.ContainsFunc(offered, func(r rune) bool { return r < ' ' || r > '~' })
			if isBearer && legal && err == nil && decoded != "" && utf8.ValidString(decoded) {
				wantEntry, wantToken = offered, decoded
				break
			}
		}
		if entry != wantEntry || token != wantToken || ok != (wantEntry != "") {
			t.Errorf("%q: got %q %q %t, want %q %q", list, entry, token, ok, wantEntry, wantToken)
		}
	})
}

func FuzzHandshake(f *testing.F) {
	for _, more := range []string{"X: y", "Origin: https://a", "Authorization: Bearer t", "Sec-WebSocket-Protocol: chat, bearer.a%2Fb", "Connection: keep-alive", "Content-Length: 1", " folded", "X: \x00"} {
		f.Add([]byte(upgradeHead("/p?since=1", more)))
	}
	f.Add([]byte(upgradeHead("ws://host:80/p?q")))
	f.Add([]byte("GET /healthz HTTP/1.0\r\n\r\n"))
	f.Add([]byte("POST / HTTP/1.1\r\nHost: a\r\n\r\n"))
	f.Add([]byte("\r\n\r\n"))
	f.Fuzz(func(t *testing.T, head []byte) {
		before := bytes.Clone(head)
		r, refusal := ParseUpgrade(head)
		if !bytes.Equal(head, before) {
			t.Error("the head was changed")
		}
		if (r == nil) == (refusal == nil) {
			t.Fatalf("both or neither: %+v %+v", r, refusal)
		}
		if refusal != nil {
			if response, _ := sent(t, refusal); response.StatusCode != refusal.Status {
				t.Errorf("%d was sent as %d", refusal.Status, response.StatusCode)
			}
			return
		}
		expectAnswer(t, *r)
		expectSameAsNetHTTP(t, head, r)
	})
}

// expectSameAsNetHTTP compares with how Go's server, as it could stand in front,
// reads a head that was granted. It refuses some targets that are only passed on
// here, and knows one more header spelling of a list.
func expectSameAsNetHTTP(t *testing.T, head []byte, r *Request) {
	response, err := http.ReadResponse(bufio.NewReader(bytes.NewReader(r.Answer)), nil)
	if err != nil || response.StatusCode != http.StatusSwitchingProtocols || response.Header.Get("Sec-WebSocket-Protocol") != r.Protocol {
		t.Errorf("answer %q: %+v, %v", r.Answer, response, err)
	}
	head = bytes.TrimPrefix(head, crlf)
	q, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(head)))
	if err != nil {
		return
	}
	if q.Host != r.Host || q.Header.Get("Origin") != r.Origin || q.URL.RawQuery != r.Query {
		t.Errorf("net/http reads host %q, origin %q, query %q; got %+v", q.Host, q.Header.Get("Origin"), q.URL.RawQuery, r)
	}
	sum := sha1.Sum([]byte(q.Header.Get("Sec-WebSocket-Key") + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
	if got, want := response.Header.Get("Sec-WebSocket-Accept"), base64.StdEncoding.EncodeToString(sum[:]); got != want {
		t.Errorf("the key was answered with %q, want %q", got, want)
	}
	var offered []string
	for _, line := range q.Header["Sec-Websocket-Protocol"] {
		for entry := range strings.SplitSeq(line, ",") {
			offered = append(offered, strings.Trim(entry, " \t"))
		}
	}
	if r.Protocol != "" && !slices.Contains(offered, r.Protocol) {
		t.Errorf("%q was echoed, but not offered: %q", r.Protocol, offered)
	}
}
