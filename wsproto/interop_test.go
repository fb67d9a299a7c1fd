package wsproto

import (
	"bytes"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/gobwas/ws"
	"github.com/gobwas/ws/wsutil"
)

// What gobwas' client side writes is read, however its writer fragments.
func TestReadsGobwasClient(t *testing.T) {
	var stream bytes.Buffer
	var want []string
	for _, size := range []int{0, 1, 125, 126, 4095, 4096, 65535, 65536, 100_000} {
		text := strings.Repeat("x", size)
		if err := wsutil.WriteClientText(&stream, []byte(text)); err != nil {
			t.Fatal(err)
		}
		want = append(want, event(ws.OpText, text))
		fragmented := wsutil.NewWriterSize(&stream, ws.StateClientSide, ws.OpBinary, 1000)
		for piece := text + "end"; piece != ""; piece = piece[min(len(piece), 700):] {
			if _, err := fragmented.Write([]byte(piece[:min(len(piece), 700)])); err != nil {
				t.Fatal(err)
			}
			if err := wsutil.WriteClientMessage(&stream, ws.OpPing, []byte("between")); err != nil {
				t.Fatal(err)
			}
			want = append(want, event(ws.OpPing, "between"))
		}
		if err := fragmented.Flush(); err != nil {
			t.Fatal(err)
		}
		want = append(want, event(ws.OpBinary, text+"end"))
	}
	want = append(want, atRest)
	expectEvents(t, "in one piece", whole(stream.Bytes(), 1<<20), want)
	random := rand.New(rand.NewPCG(3, 4))
	expectEvents(t, "in pieces", decodeIn(stream.Bytes(), 1<<20, func() int { return random.IntN(2000) }), want)
}

// gobwas' client side reads what is written here.
func TestGobwasClientReads(t *testing.T) {
	for _, size := range []int{0, 125, 126, 65535, 65536} {
		payload := bytes.Repeat([]byte{'x'}, size)
		stream := bytes.NewReader(AppendFrame(nil, ws.OpText, payload))
		frame, err := ws.ReadFrame(stream)
		if err != nil || ws.CheckHeader(frame.Header, ws.StateClientSide) != nil || stream.Len() > 0 {
			t.Fatalf("%d bytes: %+v, %v", size, frame.Header, err)
		}
		if !frame.Header.Fin || frame.Header.OpCode != ws.OpText || !bytes.Equal(frame.Payload, payload) {
			t.Errorf("%d bytes came out as %+v", size, frame.Header)
		}
	}
	frame, err := ws.ReadFrame(bytes.NewReader(AppendClose(nil, StatusTryAgainLater, "over capacity")))
	if err != nil {
		t.Fatal(err)
	}
	if code, reason := ws.ParseCloseFrameData(frame.Payload); code != StatusTryAgainLater || reason != "over capacity" {
		t.Errorf("close came out as %d %q", code, reason)
	}
}

// answering is the server's end of a connection that is all in memory.
type answering struct {
	head   bytes.Buffer
	answer *bytes.Reader
	asked  *Request
}

func (a *answering) Write(p []byte) (int, error) { return a.head.Write(p) }

func (a *answering) Read(p []byte) (int, error) {
	if a.answer == nil {
		r, refusal := ParseUpgrade(a.head.Bytes())
		if refusal != nil {
			a.answer = bytes.NewReader(refusal.AppendResponse(nil, []byte(aDate)))
		} else {
			a.asked, a.answer = r, bytes.NewReader(AppendAnswer(nil, r.Answer, []byte(aDate)))
		}
	}
	if a.answer.Len() == 0 {
		return 0, io.EOF
	}
	return a.answer.Read(p)
}

// docs/protocol.md section 1: a client that offers the token as a subprotocol is content with the answer.
func TestGobwasClientConnects(t *testing.T) {
	dialer := ws.Dialer{
		Protocols: []string{"chat", "bearer.a%2Fb"},
		Header:    ws.HandshakeHeaderHTTP(http.Header{"Origin": {"https://app.example"}}),
	}
	var server answering
	_, handshake, err := dialer.Upgrade(&server, &url.URL{Scheme: "ws", Host: "server.example:4322", Path: "/live", RawQuery: "since=7"})
	if err != nil {
		t.Fatal(err)
	}
	if handshake.Protocol != "bearer.a%2Fb" {
		t.Errorf("the client saw protocol %q", handshake.Protocol)
	}
	got := *server.asked
	if got.Token != "a/b" || got.Path != "/live" || got.Query != "since=7" || got.Host != "server.example:4322" || got.Origin != "https://app.example" {
		t.Errorf("the server saw %+v", got)
	}
}
