package auth_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/busbar-ws/busbar/hub"
	"github.com/busbar-ws/busbar/hub/auth"
)

func callback(t *testing.T, o auth.HTTPOptions) *auth.HTTP {
	t.Helper()
	h, err := auth.NewHTTP(o)
	must(t, err)
	t.Cleanup(func() { h.Close() })
	return h
}

func serve(t *testing.T, f http.HandlerFunc) string {
	t.Helper()
	srv := httptest.NewServer(f)
	t.Cleanup(srv.Close)
	return srv.URL
}

// tokenOf reads a question, and fails unless it has the form promised.
func tokenOf(t *testing.T, r *http.Request) string {
	b, err := io.ReadAll(r.Body)
	var q map[string]string
	if err != nil || json.Unmarshal(b, &q) != nil || len(q) != 1 || r.Method != "POST" || r.Header.Get("Content-Type") != "application/json" {
		t.Errorf("question %s %v %q", r.Method, r.Header, b)
	}
	return q["token"]
}

func TestHTTPAnswers(t *testing.T) {
	soon := time.Now().Add(time.Hour).Unix()
	const secret = "s3cret-in-answer"
	answers := map[string]struct {
		status int
		body   string
		want   *hub.Identity // nil: unauthorized if the status says so, else an error
	}{
		"plain":      {200, `{"user_id":"u1"}`, &hub.Identity{UserID: "u1"}},
		"all":        {200, fmt.Sprintf(`{"user_id":"u1","tenant_id":"t1","is_admin":true,"expires_at":%d,"more":[]}`, soon), &hub.Identity{UserID: "u1", Tenant: "t1", Admin: true, Expires: time.Unix(soon, 0)}},
		"admin":      {200, `{"is_admin":true}`, &hub.Identity{Admin: true}},
		"401":        {401, secret, nil},
		"403":        {403, `{"user_id":"u1"}`, nil},
		"404":        {404, "", nil},
		"expired":    {200, `{"user_id":"u1","expires_at":5}`, nil},
		"400":        {400, secret, nil},
		"410":        {410, secret, nil},
		"422":        {422, secret, nil},
		"405":        {405, secret, nil},
		"408":        {408, secret, nil},
		"429":        {429, secret, nil},
		"500":        {500, secret, nil},
		"204":        {204, "", nil},
		"not JSON":   {200, secret, nil},
		"two values": {200, `{"user_id":"u1"}{}`, nil},
		"nobody":     {200, `{}`, nil},
		"text time":  {200, `{"user_id":"u1","expires_at":"` + secret + `"}`, nil},
		"huge":       {200, `{"user_id":"u1","x":"` + strings.Repeat("x", 100_000) + `"}`, nil},
	}
	h := callback(t, auth.HTTPOptions{URL: serve(t, func(w http.ResponseWriter, r *http.Request) {
		a := answers[tokenOf(t, r)]
		w.WriteHeader(a.status)
		io.WriteString(w, a.body)
	})})
	for token, a := range answers {
		id, err := h.Authenticate(t.Context(), token)
		refused := slices.Contains([]int{400, 401, 403, 404, 410, 422}, a.status) || token == "expired"
		switch {
		case a.want != nil && (err != nil || id.UserID != a.want.UserID || id.Tenant != a.want.Tenant || id.Admin != a.want.Admin || !id.Expires.Equal(a.want.Expires)):
			t.Errorf("%s: %+v, %v", token, id, err)
		case a.want == nil && (err == nil || errors.Is(err, hub.ErrUnauthorized) != refused):
			t.Errorf("%s: %+v, %v; refused should be %v", token, id, err, refused)
		case err != nil && strings.Contains(err.Error(), secret):
			t.Errorf("%s: the error quotes the answer: %v", token, err)
		}
	}
}

func TestHTTPRedirectIsNotFollowed(t *testing.T) {
	var leaked atomic.Bool
	other := serve(t, func(http.ResponseWriter, *http.Request) { leaked.Store(true) })
	for _, status := range []int{301, 302, 303, 307, 308} {
		h := callback(t, auth.HTTPOptions{Client: &http.Client{}, URL: serve(t, func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, other, status)
		})})
		unanswered(t, h, "tok")
		h.Close()
	}
	if leaked.Load() {
		t.Error("the token was sent to another server")
	}
	http.DefaultTransport.(*http.Transport).CloseIdleConnections()
}

func TestHTTPCaches(t *testing.T) {
	t.Parallel()
	var asked atomic.Int64
	h := callback(t, auth.HTTPOptions{CacheTTL: 4 * time.Second, URL: serve(t, func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		if tokenOf(t, r) == "bad" {
			w.WriteHeader(401)
			return
		}
		io.WriteString(w, `{"user_id":"u1"}`)
	})})
	if _, ok := h.Cached("tok"); ok {
		t.Error("known before it was asked about")
	}
	id := authenticate(t, h, "tok")
	if again, ok := h.Cached("tok"); !ok || again != id {
		t.Error("the same token has to have the same pointer")
	}
	unauthorized(t, h, "bad")
	for _, absurd := range []string{"", strings.Repeat("x", 10_000)} {
		unauthorized(t, h, absurd)
	}
	if n := asked.Load(); n != 2 {
		t.Errorf("asked %d times, want 2", n)
	}
	eventually(t, "the answer is forgotten", func() bool { _, ok := h.Cached("tok"); return !ok })
	if again := authenticate(t, h, "tok"); again != id {
		t.Error("the same answer a second time has another pointer")
	}
}

// A slow service is asked once per token; whoever doesn't want to wait doesn't.
func TestHTTPSlowService(t *testing.T) {
	var asked atomic.Int64
	release := make(chan struct{})
	h := callback(t, auth.HTTPOptions{URL: serve(t, func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		<-release
		fmt.Fprintf(w, `{"user_id":%q}`, tokenOf(t, r))
	})})
	var wg sync.WaitGroup
	for i := range 40 {
		wg.Go(func() {
			token := fmt.Sprint("tok", i%8)
			if id, err := h.Authenticate(t.Context(), token); err != nil || id.UserID != token {
				t.Errorf("%s: %+v, %v", token, id, err)
			}
		})
	}
	eventually(t, "all are asked about", func() bool { return asked.Load() == 8 })
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := h.Authenticate(ctx, "tok0"); !errors.Is(err, context.Canceled) {
		t.Errorf("a caller that gave up got %v", err)
	}
	close(release)
	wg.Wait()
	if asked.Load() != 8 {
		t.Errorf("asked %d times for 8 tokens", asked.Load())
	}
}

func TestHTTPTimeoutAndRefusal(t *testing.T) {
	stop := make(chan struct{})
	slow := serve(t, func(http.ResponseWriter, *http.Request) { <-stop })
	t.Cleanup(func() { close(stop) }) // runs before the server's Close, which waits
	h := callback(t, auth.HTTPOptions{URL: slow, Timeout: 50 * time.Millisecond})
	if err := unanswered(t, h, "tok"); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("slow service: %v", err)
	}
	gone := httptest.NewServer(nil)
	gone.Close()
	url := strings.Replace(gone.URL, "http://", "http://user:p4ssword@", 1) + "/auth?key=k3y"
	h = callback(t, auth.HTTPOptions{URL: url})
	err := unanswered(t, h, "t0ken")
	oneLine(t, err, "/auth")
	for _, secret := range []string{"p4ssword", "k3y", "t0ken"} {
		if strings.Contains(err.Error(), secret) {
			t.Errorf("the error shows %s: %v", secret, err)
		}
	}
	for _, bad := range []string{"", "ftp://x", "http://", "::p4ssword", "/path", "http://a b p4ssword"} {
		if _, err := auth.NewHTTP(auth.HTTPOptions{URL: bad}); err == nil || strings.Contains(err.Error(), "p4ssword") {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

// A question for which nobody waits any more ends; whoever comes then has it asked anew.
func TestHTTPQuestionsEndWithTheirCallers(t *testing.T) {
	var asked, ended atomic.Int64
	h := callback(t, auth.HTTPOptions{Timeout: time.Hour, URL: serve(t, func(w http.ResponseWriter, r *http.Request) {
		if asked.Add(1) == 1 {
			_, _ = io.ReadAll(r.Body) // or the server doesn't look whether the caller is there
			<-r.Context().Done()
			ended.Add(1)
			return
		}
		fmt.Fprint(w, `{"user_id":"alice"}`)
	})})
	ctx, cancel := context.WithCancel(t.Context())
	gaveUp := make(chan error)
	go func() { _, err := h.Authenticate(ctx, "tok"); gaveUp <- err }()
	eventually(t, "the service is asked", func() bool { return asked.Load() == 1 })
	cancel()
	if err := <-gaveUp; !errors.Is(err, context.Canceled) {
		t.Errorf("a caller that gave up got %v", err)
	}
	eventually(t, "the question ends", func() bool { return ended.Load() == 1 })
	if id := authenticate(t, h, "tok"); id.UserID != "alice" {
		t.Errorf("%+v", id)
	}
}

func TestHTTPCloseEndsQuestions(t *testing.T) {
	stop, asked := make(chan struct{}), make(chan struct{}, 1)
	h := callback(t, auth.HTTPOptions{URL: serve(t, func(w http.ResponseWriter, r *http.Request) { asked <- struct{}{}; <-stop })})
	defer close(stop)
	done := make(chan error, 1)
	go func() { _, err := h.Authenticate(context.Background(), "tok"); done <- err }()
	<-asked
	must(t, h.Close())
	if err := <-done; err == nil || errors.Is(err, hub.ErrUnauthorized) {
		t.Errorf("a question under way ended with %v", err)
	}
}
