package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"syscall"
	"time"

	"github.com/busbar-ws/busbar/internal/strictjson"
)

// maxAnswer bounds what is read of the API's answer, in bytes.
const maxAnswer = 1 << 20

// apiClient calls one server's HTTP API. It belongs to one command's goroutine.
type apiClient struct {
	address string // as dialled
	token   string
	timeout time.Duration
	http    http.Client
}

func newAPIClient(address, token string, timeout time.Duration) *apiClient {
	return &apiClient{
		address: callable(address), token: token, timeout: timeout,
		http: http.Client{
			// A proxy from the environment would be handed the admin token.
			Transport: &http.Transport{Proxy: nil, DisableKeepAlives: true},
			CheckRedirect: func(*http.Request, []*http.Request) error {
				return http.ErrUseLastResponse
			},
		},
	}
}

// callable is the address of a listener as its neighbours call it: -api and BUSBAR_API
// may hold what the server listens on, such as ":4321".
func callable(address string) string {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return address
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = "127.0.0.1"
		if ip != nil && ip.To4() == nil {
			host = "::1"
		}
	}
	return net.JoinHostPort(host, port)
}

// apiCall is one request. The path's segments are escaped here; query may be nil.
type apiCall struct {
	method      string
	path        []string
	query       url.Values
	contentType string
	body        io.Reader
	size        int64 // of body in bytes; -1 = unknown
}

// do makes the call and copies the answer to w.
func (c *apiClient) do(what apiCall, w io.Writer) error {
	ctx, cancel := context.WithTimeout(context.Background(), c.timeout)
	defer cancel()
	segments := make([]string, len(what.path))
	for i, segment := range what.path {
		segments[i] = escapeSegment(segment)
	}
	target := "http://" + c.address + "/" + strings.Join(segments, "/")
	if len(what.query) > 0 {
		target += "?" + what.query.Encode()
	}
	request, err := http.NewRequestWithContext(ctx, what.method, target, what.body)
	if err != nil {
		return fmt.Errorf("publish: %w", err)
	}
	request.ContentLength = what.size
	if what.size == 0 {
		request.Body = http.NoBody // a reader and length 0 would mean an unknown length
	}
	request.Header.Set("Authorization", "Bearer "+c.token)
	request.Header.Set("Content-Type", what.contentType)
	response, err := c.http.Do(request)
	if err != nil {
		return c.unreachable(err)
	}
	defer response.Body.Close()
	return c.answer(response, w)
}

// escapeSegment also escapes the dots of "." and "..", which stand for other paths (RFC 3986
// section 5.2.4).
func escapeSegment(segment string) string {
	if segment == "." || segment == ".." {
		return strings.ReplaceAll(segment, ".", "%2E")
	}
	return url.PathEscape(segment)
}

func (c *apiClient) answer(response *http.Response, w io.Writer) error {
	body, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer))
	if err != nil {
		return fmt.Errorf("reading the answer of the API at %s: %w", c.address, err)
	}
	if response.StatusCode/100 != 2 {
		return apiError(response.StatusCode, body)
	}
	_, err = w.Write(body)
	return err
}

// apiError is the one line that an answer other than success is told in.
func apiError(status int, body []byte) error {
	var answer struct {
		Error struct {
			Code    string `json:"code"`
			Message string `json:"message"`
		} `json:"error"`
	}
	if strictjson.Unmarshal(body, &answer) != nil || answer.Error.Code == "" {
		return fmt.Errorf("publish: status %d %s, and no error of Busbar's API: is something else at that address?",
			status, http.StatusText(status))
	}
	hint := ""
	if status == http.StatusUnauthorized {
		hint = "; the admin token isn't that server's: see -data, -admin-token-file and BUSBAR_ADMIN_TOKEN"
	}
	return fmt.Errorf("publish: %s: %s%s", answer.Error.Code, textLine([]byte(answer.Error.Message)), hint)
}

func (c *apiClient) unreachable(err error) error {
	if errors.Is(err, syscall.ECONNREFUSED) {
		return fmt.Errorf("nothing listens at %s; start a server there, or name its -api address with -api or BUSBAR_API", c.address)
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("the API at %s gave no answer within %s; -timeout gives it more", c.address, formatDuration(c.timeout))
	}
	var wrapped *url.Error
	if errors.As(err, &wrapped) {
		err = wrapped.Err // what it adds, method and address, is said already
	}
	return fmt.Errorf("calling the API at %s: %w", c.address, err)
}
