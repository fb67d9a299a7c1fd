package wsproto

import (
	"bytes"
	"io"
	"sync"
	"unicode/utf8"

	"github.com/gobwas/ws"
)

// Request is a client's upgrade request that can be granted. Its strings are
// copies, so the head's buffer may be reused; all of it is the caller's.
type Request struct {
	Path     string // not percent-decoded, begins with a slash
	Query    string // without the question mark
	Host     string // host[:port]: the target's, if that is in absolute form, else the Host header's
	Origin   string // empty if there is none
	Token    string // empty if there is none
	Protocol string // the bearer entry that Answer echoes, empty if none was chosen
	Answer   []byte // the complete 101 response; the caller owns it

	deflate offer // that is accepted if compression is wanted; one that isn't ours if there is none
}

// AcceptDeflate accepts permessage-deflate (RFC 7692) by adding one of the client's offers to
// Answer. in says that the client may send compressed messages from here on, out that it may
// be sent what DeflateFrame makes: not when each of its offers that can be met has a small
// server_max_window_bits. Nothing is ever compressed across messages. It is called at most
// once.
func (r *Request) AcceptDeflate() (in, out bool) {
	line := r.deflate.accept()
	if line == "" {
		return false, false
	}
	head := r.Answer[:len(r.Answer)-len(crlf)]
	r.Answer = make([]byte, 0, len(r.Answer)+len(line)+len(crlf))
	r.Answer = append(append(r.Answer, head...), line...)
	r.Answer = append(r.Answer, "\r\n\r\n"...)
	return true, !r.deflate.small()
}

// ParseUpgrade reads the head of an HTTP request, blank line included, and
// says what to answer: the Request's Answer, if it is one to upgrade, else the
// Refusal. One of the two is nil. head is neither changed nor kept; bytes of it
// behind the blank line (HeadEnd) are not looked at.
func ParseUpgrade(head []byte) (*Request, *Refusal) {
	end := HeadEnd(head)
	if end > MaxHead || end < 0 && len(head) > MaxHead {
		return nil, RefuseHeadTooLarge.AnswerTo(head)
	}
	if end < 0 {
		return nil, refuseNoEnd.AnswerTo(head)
	}
	u := upgrades.Get().(*upgrade)
	defer u.free()
	request, refusal := u.run(head[:end-len(crlf)])
	if refusal != nil {
		return nil, refusal.AnswerTo(head)
	}
	return request, nil
}

// upgrade is one run of ParseUpgrade, owned by it and pooled: binding the hooks
// anew for each request would allocate each of them.
type upgrade struct {
	upgrader ws.Upgrader // with hooks bound to this upgrade
	in       []byte      // the head as the upgrader is to see it
	unread   []byte      // of in
	out      []byte      // what the upgrader wrote

	request       *Request
	headerToken   string
	protocolToken string
}

var upgrades = sync.Pool{New: func() any {
	u := new(upgrade)
	u.upgrader = ws.Upgrader{
		ReadBufferSize: MaxHead,
		OnHost:         u.onHost,
		OnHeader:       u.onHeader,
		ProtocolCustom: u.onProtocols,
	}
	return u
}}

func (u *upgrade) free() {
	*u = upgrade{upgrader: u.upgrader, in: u.in[:0], out: u.out[:0]}
	upgrades.Put(u)
}

// run upgrades the request whose lines, each with its line end, are head.
func (u *upgrade) run(head []byte) (*Request, *Refusal) {
	head = bytes.TrimPrefix(head, crlf) // RFC 9112 2.2: ignore one empty line in front
	line, rest, _ := bytes.Cut(head, crlf)
	asked, refusal := parseRequestLine(line)
	if refusal != nil {
		return nil, refusal
	}
	u.in = append(append(u.in, line...), crlf...)
	var s survey
	if refusal = u.headers(&s, rest); refusal == nil {
		refusal = s.judge(asked)
	}
	if refusal != nil {
		return nil, refusal
	}
	u.request = &Request{Path: string(asked.path), Query: string(asked.query), Host: string(asked.host), deflate: s.extensions.chosen}
	u.unread = u.in
	if _, err := u.upgrader.Upgrade(u); err != nil {
		return nil, refuseHandshake
	}
	u.request.Token = u.headerToken
	if u.headerToken == "" {
		u.request.Token = u.protocolToken
	}
	u.request.Answer = bytes.Clone(u.out)
	return u.request, nil
}

// headers checks what the upgrader doesn't, and puts together what it is to see.
// RFC 9110 5.3 and 7.8 let Connection and Upgrade be lists, and lists be spread
// over lines, which the upgrader doesn't know; so it gets them in their plain
// form.
func (u *upgrade) headers(s *survey, lines []byte) *Refusal {
	for len(lines) > 0 {
		var line []byte
		line, lines, _ = bytes.Cut(lines, crlf)
		keep, refusal := s.line(line)
		if refusal != nil {
			return refusal
		}
		if keep {
			u.in = append(append(u.in, line...), crlf...)
		}
	}
	u.in = append(u.in, "Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n"...)
	return nil
}

func (u *upgrade) onHost(value []byte) error {
	if u.request.Host == "" { // RFC 9112 3.2.2: a target in absolute form wins
		u.request.Host = string(value)
	}
	return nil
}

// onHeader gets names with each word capitalised.
func (u *upgrade) onHeader(name, value []byte) error {
	switch string(name) {
	case "Origin":
		u.request.Origin = string(value)
	case "Authorization":
		if u.headerToken == "" {
			u.headerToken = bearerToken(value)
		}
	}
	return nil
}

// onProtocols gets each Sec-WebSocket-Protocol line until one has an entry that
// is chosen. PROTOCOL.md section 1: no other protocol is ever echoed.
func (u *upgrade) onProtocols(list []byte) (string, bool) {
	u.request.Protocol, u.protocolToken, _ = BearerProtocol(list)
	return u.request.Protocol, true
}

// bearerToken is the token in an Authorization header's value: RFC 6750 2.1. It
// is empty for another scheme.
func bearerToken(value []byte) string {
	scheme, token, _ := bytes.Cut(value, []byte(" "))
	if !foldEqual(scheme, "bearer") || !utf8.Valid(token) {
		return ""
	}
	return string(trim(token))
}

// Read hands the upgrader the head.
func (u *upgrade) Read(p []byte) (int, error) {
	if len(u.unread) == 0 {
		return 0, io.EOF
	}
	n := copy(p, u.unread)
	u.unread = u.unread[n:]
	return n, nil
}

// Write takes the upgrader's answer.
func (u *upgrade) Write(p []byte) (int, error) {
	u.out = append(u.out, p...)
	return len(p), nil
}
