package wsproto

import (
	"bytes"
	"crypto/sha1" //nolint:gosec // see answer
	"encoding/base64"
	"unicode/utf8"
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
	// RFC 9112 2.2: ignore one empty line in front.
	line, lines := cutLine(bytes.TrimPrefix(head[:end-len(crlf)], crlf))
	asked, refusal := parseRequestLine(line)
	var h headers
	if refusal == nil {
		refusal = h.read(lines)
	}
	if refusal == nil {
		refusal = h.judge(asked)
	}
	if refusal != nil {
		return nil, refusal.AnswerTo(head)
	}
	return h.grant(asked), nil
}

func (h *headers) grant(asked requestLine) *Request {
	host := asked.host
	if host == nil { // RFC 9112 3.2.2: a target in absolute form wins
		host = h.host
	}
	token := string(h.token)
	if token == "" {
		token = h.protocolToken
	}
	return &Request{
		Path: string(asked.path), Query: string(asked.query), Host: string(host), Origin: string(h.origin),
		Token: token, Protocol: h.protocol, Answer: answer(h.key, h.protocol), deflate: h.extensions.chosen,
	}
}

// answer is the 101 response of RFC 6455 4.2.2, item 5.
func answer(key []byte, protocol string) []byte {
	const (
		head         = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: "
		protocolLine = "\r\nSec-WebSocket-Protocol: "
		end          = "\r\n\r\n"
		accept       = 28 // base64 of a SHA-1
	)
	var seed [keySize + len(acceptGUID)]byte
	copy(seed[copy(seed[:], key):], acceptGUID)
	sum := sha1.Sum(seed[:]) //nolint:gosec // RFC 6455 4.2.2 asks for it; nothing is kept secret by it
	p := make([]byte, 0, len(head)+accept+len(protocolLine)+len(protocol)+len(end))
	p = base64.StdEncoding.AppendEncode(append(p, head...), sum[:])
	if protocol != "" {
		p = append(append(p, protocolLine...), protocol...)
	}
	return append(p, end...)
}

const acceptGUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"

// bearerToken is the token in an Authorization header's value: RFC 6750 2.1. It
// is empty for another scheme.
func bearerToken(value []byte) []byte {
	scheme, token, _ := bytes.Cut(value, []byte(" "))
	if !foldEqual(scheme, "bearer") || !utf8.Valid(token) {
		return nil
	}
	return trim(token)
}
