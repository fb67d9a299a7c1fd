package wsproto

import (
	"bytes"
	"net/http"
	"strconv"
	"time"
)

// Refusal is the HTTP answer to a request that is not upgraded. Most values are
// shared: copy one before you change it.
type Refusal struct {
	Status     int    // HTTP status code
	Reason     string // one line of ASCII, the body
	RetryAfter int    // seconds for the Retry-After header; 0 = none

	// What the status needs besides, as whole header lines.
	extra    string
	bodiless bool // the request is HEAD
}

// Answers that don't come from the request's head alone.
var (
	RefusalHealthy        = &Refusal{Status: http.StatusOK, Reason: "ok"}
	RefuseUnauthorized    = &Refusal{Status: http.StatusUnauthorized, Reason: "unauthorized: bearer token required", extra: "WWW-Authenticate: Bearer\r\n"}
	RefuseInvalidToken    = &Refusal{Status: http.StatusUnauthorized, Reason: "unauthorized: token invalid or expired", extra: "WWW-Authenticate: Bearer\r\n"}
	RefuseReservedUser    = &Refusal{Status: http.StatusUnauthorized, Reason: "unauthorized: the user id is reserved for admins", extra: "WWW-Authenticate: Bearer\r\n"}
	RefuseForbiddenOrigin = &Refusal{Status: http.StatusForbidden, Reason: "this origin is not allowed"}
	RefuseTimeout         = &Refusal{Status: http.StatusRequestTimeout, Reason: "the request took too long to arrive"}
	RefuseHeadTooLarge    = &Refusal{Status: http.StatusRequestHeaderFieldsTooLarge, Reason: "the request's head is too large"}
	RefuseOverloaded      = &Refusal{Status: http.StatusServiceUnavailable, Reason: "over capacity, try again later", RetryAfter: 5}
	RefuseUnverifiable    = &Refusal{Status: http.StatusServiceUnavailable, Reason: "authentication is unavailable, try again later", RetryAfter: 5}
	RefuseDraining        = &Refusal{Status: http.StatusServiceUnavailable, Reason: "the server is shutting down, try another one", RetryAfter: 2}
)

const upgradeLines = "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"

// Answers of ParseUpgrade.
var (
	refuseNotHTTP      = badRequest("not an HTTP request")
	refuseNoEnd        = badRequest("the request's head doesn't end in a blank line")
	refuseLineEnd      = badRequest("a line doesn't end in CR LF")
	refuseTarget       = badRequest("the request target is malformed")
	refuseFolding      = badRequest("a header line is folded")
	refuseHeaderName   = badRequest("a header name is malformed")
	refuseHeaderValue  = badRequest("a header value has a control character")
	refuseDuplicate    = badRequest("a header that may be there once is there twice")
	refuseHost         = badRequest("the Host header is missing or malformed")
	refuseKey          = badRequest("the Sec-WebSocket-Key header is missing or isn't base64 of 16 bytes")
	refuseExtensions   = badRequest("the Sec-WebSocket-Extensions header is malformed")
	refuseConnection   = badRequest("the Connection header doesn't name Upgrade; is there a proxy that doesn't pass it on?")
	refuseBody         = badRequest("an upgrade request with a body")
	refuseTargetLength = &Refusal{Status: http.StatusRequestURITooLong, Reason: "the request target is longer than 8 KiB"}
	refuseHTTPVersion  = &Refusal{Status: http.StatusHTTPVersionNotSupported, Reason: "only HTTP/1.1 can be upgraded to a WebSocket"}
	refuseMethod       = &Refusal{Status: http.StatusMethodNotAllowed, Reason: "only GET can be upgraded to a WebSocket", extra: "Allow: GET, HEAD\r\n"}
	refusePlainHTTP    = &Refusal{Status: http.StatusUpgradeRequired, Reason: "this is a WebSocket endpoint", extra: upgradeLines}
	refuseVersion      = &Refusal{Status: http.StatusUpgradeRequired, Reason: "only WebSocket version 13 is spoken here", extra: upgradeLines}
)

func badRequest(reason string) *Refusal {
	return &Refusal{Status: http.StatusBadRequest, Reason: reason}
}

// AnswerTo is r without its body when head, as far as it has come, is a HEAD request's: RFC 9110 9.3.2.
func (r *Refusal) AnswerTo(head []byte) *Refusal {
	if r.bodiless || !bytes.HasPrefix(bytes.TrimPrefix(head, crlf), headMethod) {
		return r
	}
	bare := *r
	bare.bodiless = true
	return &bare
}

var headMethod = []byte("HEAD ")

// Healthy reports that r is the answer to a health check, and so no refusal.
func (r *Refusal) Healthy() bool { return r != nil && r.Status == http.StatusOK }

// appendDate appends the Date header line of an answer to dst, which is within a head: RFC 9110 6.6.1.
func appendDate(dst, date []byte) []byte {
	return append(append(append(dst, "Date: "...), date...), crlf...)
}

// AppendAnswer appends a Request's Answer with its date to dst.
func AppendAnswer(dst, answer, date []byte) []byte {
	dst = append(dst, answer[:len(answer)-len(crlf)]...)
	return append(appendDate(dst, date), crlf...)
}

// AppendResponse appends the whole HTTP response, of this date, to dst and returns the extended
// dst. The connection is to be closed once it is sent.
func (r *Refusal) AppendResponse(dst, date []byte) []byte {
	dst = append(dst, "HTTP/1.1 "...)
	dst = strconv.AppendInt(dst, int64(r.Status), 10)
	dst = append(dst, ' ')
	dst = append(dst, http.StatusText(r.Status)...)
	dst = append(dst, "\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: "...)
	dst = strconv.AppendInt(dst, int64(len(r.Reason)+1), 10)
	dst = append(dst, "\r\nConnection: close"...)
	if r.Status == http.StatusUpgradeRequired {
		dst = append(dst, ", Upgrade"...) // RFC 9110 7.8: whoever sends Upgrade names it here
	}
	dst = appendDate(append(dst, crlf...), date)
	dst = append(dst, r.extra...)
	if r.RetryAfter > 0 {
		dst = append(dst, "Retry-After: "...)
		dst = strconv.AppendInt(dst, int64(r.RetryAfter), 10)
		dst = append(dst, "\r\n"...)
	}
	dst = append(dst, "\r\n"...)
	if r.bodiless { // RFC 9110 9.3.2; 8.6 lets Content-Length be that of GET
		return dst
	}
	dst = append(dst, r.Reason...)
	return append(dst, '\n')
}

// Date is the Date of answers (RFC 9110 6.6.1), formatted once a second. The zero value is ready.
type Date struct {
	second int64 // that text is of, in Unix time
	text   []byte
}

// At is the date in the form of RFC 9110 5.6.7. It is valid until the next call.
func (d *Date) At(now time.Time) []byte {
	if second := now.Unix(); second != d.second {
		d.second, d.text = second, now.UTC().AppendFormat(d.text[:0], http.TimeFormat)
	}
	return d.text
}
