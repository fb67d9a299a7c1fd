package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"strings"
	"syscall"
	"time"

	"github.com/busbar-ws/busbar/hub/auth"
	"github.com/busbar-ws/busbar/internal/cli"
	"github.com/busbar-ws/busbar/internal/strictjson"
)

// apiFlags say where the API is and how to get in. They belong to one command's goroutine.
type apiFlags struct {
	api, data, tokenFile string
	timeout              time.Duration
}

// add declares them, for a command that works beside the server.
func (f *apiFlags) add(t *cli.Set) {
	f.api, f.timeout = defaultAPI, time.Minute
	t.Group("Server")
	addAPI(t, &f.api)
	addServerData(t, &f.data)
	addAdminTokenFile(t, &f.tokenFile)
	t.Add("timeout", cli.Duration(&f.timeout, time.Millisecond, 0), "how long the call may take")
}

// client finds the token and makes a client of the API.
func (f *apiFlags) client(s streams) (*apiClient, error) {
	token, err := existingAdminToken(f.data, f.tokenFile, s)
	if err != nil {
		return nil, err
	}
	return newAPIClient(f.api, token, f.timeout), nil
}

// existingAdminToken finds the admin token where the server looks for it. Other than the server it never makes one: no
// server would know it.
func existingAdminToken(data, file string, s streams) (string, error) {
	env := s.getenv("BUSBAR_ADMIN_TOKEN")
	hint := ""
	if file == "" && env == "" {
		hint = "; name the server's data directory with -data, or give the token by -admin-token-file or BUSBAR_ADMIN_TOKEN"
	}
	token, warning, err := auth.ReadAdminToken(data, file, env)
	if errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("%w%s", err, hint)
	}
	if warning != "" {
		fmt.Fprintf(s.err, "busbar: %s\n", warning)
	}
	return token, err
}

// maxAnswer bounds what is read of an answer that is short, in bytes.
const maxAnswer = 1 << 20

// apiClient calls one server's HTTP API. It belongs to one command's goroutine.
type apiClient struct {
	address string // as dialled
	token   string // empty: none
	timeout time.Duration
	http    *http.Client
}

func newAPIClient(address, token string, timeout time.Duration) *apiClient {
	return &apiClient{
		address: callable(address), token: token, timeout: timeout, http: directClient(0),
	}
}

// directClient calls nobody but whom it is told to: a proxy from the environment, or where a redirect leads, would be
// handed the token.
func directClient(timeout time.Duration) *http.Client {
	return &http.Client{
		Timeout:       timeout,
		Transport:     &http.Transport{DisableKeepAlives: true},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// callable is the address of a listener as its neighbours call it, which may be every interface's, such as ":4321".
func callable(address string) string {
	host, port, err := net.SplitHostPort(address)
	if ip := net.ParseIP(host); err == nil && (host == "" || ip != nil && ip.IsUnspecified()) {
		return "127.0.0.1:" + port
	}
	return address
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

// do makes the call and has take read the body of its answer.
func (c *apiClient) do(what apiCall, take func(io.Reader) error) error {
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
		return fmt.Errorf("calling the API at %s: %w", c.address, err)
	}
	request.ContentLength = what.size
	if what.size == 0 {
		request.Body = http.NoBody // a reader and length 0 would mean an unknown length
	}
	if c.token != "" {
		request.Header.Set("Authorization", "Bearer "+c.token)
	}
	if what.contentType != "" {
		request.Header.Set("Content-Type", what.contentType)
	}
	response, err := c.http.Do(request)
	if err != nil {
		return c.unreachable(err)
	}
	defer response.Body.Close()
	if response.StatusCode/100 != 2 {
		body, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer))
		if err != nil {
			return c.unreachable(err)
		}
		return c.refused(response.StatusCode, body)
	}
	if err := take(response.Body); err != nil {
		return c.unreachable(err)
	}
	return nil
}

// escapeSegment also escapes the dots of "." and "..", which stand for other paths (RFC 3986
// section 5.2.4).
func escapeSegment(segment string) string {
	if segment == "." || segment == ".." {
		return strings.ReplaceAll(segment, ".", "%2E")
	}
	return url.PathEscape(segment)
}

// copyTo prints an answer.
func copyTo(w io.Writer) func(io.Reader) error {
	return func(r io.Reader) error {
		_, err := io.Copy(w, io.LimitReader(r, maxAnswer))
		return err
	}
}

// decodeTo decodes an answer into what v points to.
func decodeTo(v any) func(io.Reader) error {
	return func(r io.Reader) error {
		text, err := io.ReadAll(io.LimitReader(r, maxAnswer))
		if err != nil {
			return err
		}
		return strictjson.Unmarshal(text, v)
	}
}

// refused is the one line that an answer other than success is told in.
func (c *apiClient) refused(status int, body []byte) error {
	var answer struct {
		Error struct {
			Code    string `json:"code"`
			Message string `json:"message"`
		} `json:"error"`
	}
	if strictjson.Unmarshal(body, &answer) != nil || answer.Error.Code == "" {
		return fmt.Errorf("%s answers with status %d %s, and no error of Busbar's API: is something else at that address?",
			c.address, status, http.StatusText(status))
	}
	hint := ""
	if status == http.StatusUnauthorized {
		hint = "; the admin token isn't that server's: see -data, -admin-token-file and BUSBAR_ADMIN_TOKEN"
	}
	return fmt.Errorf("the API at %s answers %s: %s%s", c.address, answer.Error.Code, textLine([]byte(answer.Error.Message)), hint)
}

func (c *apiClient) unreachable(err error) error {
	if errors.Is(err, syscall.ECONNREFUSED) {
		return fmt.Errorf("nothing listens at %s; start a server there, or name its -api address with -api or BUSBAR_API", c.address)
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("the API at %s gave no whole answer within %s; -timeout gives it more", c.address, cli.FormatDuration(c.timeout))
	}
	var wrapped *url.Error
	if errors.As(err, &wrapped) {
		err = wrapped.Err // what it adds, method and address, is said already
	}
	return fmt.Errorf("calling the API at %s: %w", c.address, err)
}
