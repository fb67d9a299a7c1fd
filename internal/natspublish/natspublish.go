// Package natspublish takes what is published by NATS requests, as the HTTP API takes it, and by its handler.
package natspublish

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"

	"github.com/nats-io/nats.go"
	"golang.org/x/sync/semaphore"

	"github.com/busbar-ws/busbar/hub/httpapi"
	"github.com/busbar-ws/busbar/internal/natsconn"
)

// Options say where requests come from and who serves them.
type Options struct {
	Servers string        // NATS URLs, separated by commas
	NATS    []nats.Option // credentials, TLS and the like
	Stream  string        // requests come to its name and ".publish"; one node of those that take them gets each
	Handler http.Handler  // of package httpapi
	Logger  *slog.Logger
}

// Headers of requests and answers, besides HTTP's Content-Type and Retry-After. Their names may be in any case.
const (
	ours         = "Busbar-"
	callHeader   = "Busbar-Call" // method and path with query; without it defaultCall
	statusHeader = "Busbar-Status"

	defaultCall = "POST /v1/changes"
	calls       = "/v1/" // what paths begin with
)

// Requests that are served at one time have together as many bytes, each counted with its overhead; further ones are
// refused, so that none waits, or is lost, in the connection.
const (
	maxBytes = 32 << 20
	overhead = 64 << 10
)

// Server takes requests. It is safe from any goroutine.
type Server struct {
	opts    Options
	conn    *nats.Conn
	sub     *nats.Subscription
	ended   chan struct{} // the subscription has
	room    *semaphore.Weighted
	running sync.WaitGroup
	once    sync.Once
}

// Open begins to take requests.
func Open(o Options) (*Server, error) {
	s := &Server{opts: o, ended: make(chan struct{}), room: semaphore.NewWeighted(maxBytes)}
	var err error
	s.conn, _, err = natsconn.Connect(natsconn.Options{
		Servers: o.Servers, NATS: o.NATS, Logger: o.Logger,
		Reconnected: func() {}, Slow: func(*nats.Subscription) bool { return false },
	})
	if err != nil {
		return nil, fmt.Errorf("connecting to NATS: %w", err)
	}
	subject := o.Stream + ".publish"
	if s.sub, err = s.conn.QueueSubscribe(subject, "busbar", s.take); err == nil {
		s.sub.SetClosedHandler(func(string) { close(s.ended) })
		if err = s.conn.Flush(); err == nil {
			err = s.conn.LastError() // it may not subscribe
		}
	}
	if err != nil {
		s.conn.Close()
		return nil, fmt.Errorf("subscribing to %s: %w", subject, err)
	}
	return s, nil
}

// Close leaves new requests to other nodes, and returns when those that this one has are answered, or ctx ends.
func (s *Server) Close(ctx context.Context) {
	s.once.Do(func() {
		defer s.conn.Close()
		if s.sub.Drain() != nil { // there is no connection
			return
		}
		answered := make(chan struct{})
		go func() {
			<-s.ended
			s.running.Wait()
			_ = s.conn.FlushWithContext(ctx)
			close(answered)
		}()
		select {
		case <-answered:
		case <-ctx.Done():
		}
	})
}

// reserved is whether a subject is NATS' own or Busbar's. To answer there would be to publish for somebody who may not.
func (s *Server) reserved(subject string) bool {
	return strings.HasPrefix(subject, "$") || strings.HasPrefix(subject, s.opts.Stream+".")
}

// take is called by the subscription, for one request at a time.
func (s *Server) take(m *nats.Msg) {
	if s.reserved(m.Reply) {
		s.opts.Logger.Debug("a request wants its answer where none may go", "reply", m.Reply)
		return
	}
	size := min(int64(len(m.Data))+overhead, maxBytes)
	if !s.room.TryAcquire(size) {
		var w answer
		httpapi.WriteBusy(&w)
		s.respond(m, &w)
		return
	}
	s.running.Go(func() {
		defer s.room.Release(size)
		defer func() { // an answer that breaks off, as HTTP's would
			if thrown := recover(); thrown != nil && thrown != http.ErrAbortHandler {
				panic(thrown)
			}
		}()
		r, field, err := request(m)
		var w answer
		if err != nil {
			httpapi.WriteInvalid(&w, field, err.Error())
		} else {
			s.opts.Handler.ServeHTTP(&w, r)
		}
		s.respond(m, &w)
	})
}

func request(m *nats.Msg) (r *http.Request, field string, err error) {
	call, contentType := "", ""
	for name, values := range m.Header {
		value := &contentType
		switch {
		case strings.EqualFold(name, callHeader):
			value = &call
		case strings.EqualFold(name, "Content-Type"):
		case len(name) >= len(ours) && strings.EqualFold(name[:len(ours)], ours):
			return nil, name, errors.New("isn't known")
		default:
			continue
		}
		if *value != "" || len(values) > 1 {
			return nil, name, errors.New("is there more than once")
		}
		*value = values[0]
	}
	if call == "" {
		call = defaultCall
	}
	method, target, _ := strings.Cut(call, " ")
	if !strings.HasPrefix(target, calls) {
		return nil, callHeader, errors.New("must be a method and a path that begins with " + calls + ", as in " + defaultCall)
	}
	ctx := httpapi.AsPublisher(context.Background())
	r, err = http.NewRequestWithContext(ctx, method, "", io.NopCloser(bytes.NewReader(m.Data)))
	if err == nil {
		r.URL, err = url.ParseRequestURI(target) // where # is a part of the path, as over HTTP
	}
	if err != nil {
		return nil, callHeader, err
	}
	r.ContentLength = int64(len(m.Data))
	if contentType != "" {
		r.Header.Set("Content-Type", contentType)
	}
	return r, "", nil
}

func (s *Server) respond(m *nats.Msg, w *answer) {
	if m.Reply == "" {
		return
	}
	reply := nats.NewMsg(m.Reply)
	reply.Data = w.body.Bytes()
	reply.Header.Set(statusHeader, strconv.Itoa(w.status))
	if again := w.Header().Get("Retry-After"); again != "" {
		reply.Header.Set("Retry-After", again)
	}
	if err := s.conn.PublishMsg(reply); err != nil { // its publisher has no answer, and tries again
		s.opts.Logger.Debug("answering what was published over NATS", "error", err)
	}
}

// answer is an http.ResponseWriter. It belongs to its request.
type answer struct {
	header http.Header
	status int
	body   bytes.Buffer
}

func (w *answer) Header() http.Header {
	if w.header == nil {
		w.header = make(http.Header)
	}
	return w.header
}

func (w *answer) WriteHeader(status int) {
	if w.status == 0 {
		w.status = status
	}
}

func (w *answer) Write(b []byte) (int, error) {
	w.WriteHeader(http.StatusOK)
	return w.body.Write(b)
}
