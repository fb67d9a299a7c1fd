package httpapi

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/busbar-ws/busbar/hub"
	"github.com/busbar-ws/busbar/hub/auth"
)

// fill takes all places of a kind, each for another caller.
func (a *api) fill(k kind) {
	for i := 0; ; i++ {
		c := caller{user: fmt.Sprint(i), address: netip.AddrFrom4([4]byte{192, 0, 2, byte(i)})}
		if _, full := a.places.take(k, c); full != nil {
			return
		}
	}
}

// startBounded serves the API on a listener with room for so many connections.
func startBounded(t *testing.T, connections int, change func(*hub.Options, *Options)) (*server, *api, *Listener) {
	l := listen(t, connections)
	s := start(t, func(ho *hub.Options, o *Options) {
		ho.Auth, o.Listener = auth.WithAdmin(ho.Auth, adminToken), l
		o.Demo = http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})
		if change != nil {
			change(ho, o)
		}
	})
	serveOn(t, l, s.Handler, ServerOptions{})
	return s, s.Handler.(*api), l
}

// Whoever holds all places of one kind keeps nobody else from being served; probes have no need of any.
func TestKindsOfRequestsDoNotStandInEachOthersWay(t *testing.T) {
	calls := map[string]kind{
		"PUT /v1/rows/T/1":   publishing,
		"GET /metrics":       scraping,
		"GET /v1/stats":      administering,
		"GET /api/sync/pull": administering, // an admin's
		"GET /demo":          calling,
		"GET /healthz":       kinds,
		"GET /readyz":        kinds,
		"GET /api/auth/me":   kinds,
	}
	for full := range kinds {
		t.Run(fmt.Sprint(full), func(t *testing.T) {
			s, a, _ := startBounded(t, 8, nil)
			a.fill(full)
			for call, k := range calls {
				method, target, _ := strings.Cut(call, " ")
				w := s.admin(method, target, "")
				if k != full {
					if w.Code/100 != 2 {
						t.Errorf("%s: %d %s", call, w.Code, w.Body)
					}
					continue
				}
				s.wantError(w, 503, "BUSY")
				if w.Header().Get("Retry-After") == "" || w.Header().Get("Connection") != "close" {
					t.Errorf("%s: headers %v", call, w.Header())
				}
			}
			s.wantError(s.as("guess", "GET", "/metrics", ""), 401, "UNAUTHORIZED")
			if n := testutil.ToFloat64(a.counts.busy); n == 0 {
				t.Error("none is counted")
			}
		})
	}
}

// There are always fewer requests with a place than connections, or a probe's couldn't come in.
func TestPlacesLeaveConnectionsFree(t *testing.T) {
	for n := 8; n <= 512; n++ {
		p, sum := newPlaces(n, nil), 0
		for k := range kinds {
			if p.of[k].free < 1 {
				t.Fatalf("%d connections: none for kind %d", n, k)
			}
			sum += p.of[k].free
		}
		if sum > n-2 {
			t.Errorf("%d places on %d connections", sum, n)
		}
	}
}

// On the smallest server too, no user and no address has all the places that there are of a kind.
func TestNobodyHasAllPlaces(t *testing.T) {
	for n := 8; n <= 512; n++ {
		l := newPlaces(n, nil).of[calling]
		if l.free < 2 || l.ofAddress > l.free/2 || l.ofUser > max(l.free/8, 1) || l.ofUser < 1 || l.ofAddress < 1 {
			t.Errorf("%d connections: %d places, %d of a user, %d of an address", n, l.free, l.ofUser, l.ofAddress)
		}
	}
}

// Of places for clients one user has a part, and so has one address; they come back.
func TestSharesOfPlaces(t *testing.T) {
	u := func(user, address string) caller {
		c := caller{user: user}
		if address != "" {
			c.address = netip.MustParseAddr(address)
		}
		return c
	}
	for name, test := range map[string]struct {
		first, second, other caller
		want                 int
	}{
		"a user":           {u("a", "192.0.2.1"), u("a", "192.0.2.2"), u("b", "192.0.2.1"), 35},
		"an address":       {u("", "192.0.2.1"), u("", "192.0.2.1"), u("", "192.0.2.2"), 142},
		"nobody's address": {u("", ""), u("", ""), u("", ""), 284},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPlaces(512, nil)
			var leave []func()
			for {
				done, full := p.take(calling, test.first)
				if full != nil {
					break
				}
				leave = append(leave, done)
			}
			if len(leave) != test.want {
				t.Errorf("%d places, want %d", len(leave), test.want)
			}
			if _, full := p.take(calling, test.second); full == nil {
				t.Error("one more")
			}
			if test.other != test.first {
				done, full := p.take(calling, test.other)
				if full != nil {
					t.Fatalf("another: %v", full)
				}
				leave = append(leave, done)
			}
			for _, done := range leave {
				done()
			}
			if l := &p.of[calling]; l.free != 284 || len(l.byUser)+len(l.byAddress) != 0 {
				t.Errorf("left: %+v", l)
			}
		})
	}
}

func TestCallersAreToldApart(t *testing.T) {
	shared := []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}
	for _, test := range []struct {
		remote string
		id     *hub.Identity
		want   caller
	}{
		{"192.0.2.1:5", nil, caller{address: netip.MustParseAddr("192.0.2.1")}},
		{"[::ffff:192.0.2.1]:5", nil, caller{address: netip.MustParseAddr("192.0.2.1")}},
		{"[2001:db8:1:2:3:4:5:6%eth0]:5", nil, caller{address: netip.MustParseAddr("2001:db8:1:2::")}},
		{"10.1.2.3:5", nil, caller{}},
		{"@", nil, caller{}},
		{"10.1.2.3:5", &hub.Identity{UserID: "u", Tenant: "t"}, caller{user: "t\x00u"}},
		{"10.1.2.3:5", &hub.Identity{UserID: "anonymous", Anonymous: true}, caller{}},
	} {
		r := httptest.NewRequest("GET", "/", nil)
		r.RemoteAddr = test.remote
		if got := newPlaces(8, shared).callerOf(r, test.id); got != test.want {
			t.Errorf("%s: %+v, want %+v", test.remote, got, test.want)
		}
	}
}

// Publishers that are slow with their bodies hold their places; when they are done these are there again.
func TestSlowPublishersHoldPlaces(t *testing.T) {
	s, _, l := startBounded(t, 8, nil)
	var slow []net.Conn
	for range 2 {
		conn := dial(t, l)
		// The server asks for the body when the handler reads it.
		_, _ = io.WriteString(conn, "POST /v1/changes HTTP/1.1\r\n"+asAdmin+"Expect: 100-continue\r\nContent-Length: 2\r\n\r\n")
		if line, err := bufio.NewReader(conn).ReadString('\n'); err != nil || !strings.Contains(line, "100 Continue") {
			t.Fatalf("%q, %v", line, err)
		}
		slow = append(slow, conn)
	}
	busy := talk(t, l.Addr().String(), "POST /v1/changes HTTP/1.1\r\n"+asAdmin+"Content-Length: 100\r\n\r\n")
	if !strings.Contains(busy, "BUSY") || !strings.Contains(busy, "Connection: close") {
		t.Errorf("answered %q", busy)
	}
	for _, conn := range slow {
		_, _ = io.WriteString(conn, "{}")
		if _, err := http.ReadResponse(bufio.NewReader(conn), nil); err != nil {
			t.Fatal(err)
		}
	}
	deadline := time.Now().Add(patience)
	for s.admin("PUT", "/v1/rows/T/1", "").Code != 204 {
		if time.Now().After(deadline) {
			t.Fatal("busy though nothing is being served")
		}
	}
}

// Tokens that have to be looked up, with a service that hangs, hold up nobody whose token is known.
func TestTokensBeingLookedUp(t *testing.T) {
	hanging := make(chan struct{})
	asked := make(chan string, 100)
	s, _, l := startBounded(t, 16, func(ho *hub.Options, _ *Options) {
		ho.Workers, ho.WorkerQueue = 4, 2 // of one address two are looked up, and one waits
		ho.Auth = auth.WithAdmin(hub.AuthenticatorFunc(func(ctx context.Context, token string) (*hub.Identity, error) {
			asked <- token
			select {
			case <-hanging:
			case <-ctx.Done():
			}
			return nil, hub.ErrUnauthorized
		}), adminToken)
	})
	const pull = "GET /api/sync/pull HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: Bearer %d\r\n\r\n"
	for i := range 2 {
		fmt.Fprintf(dial(t, l), pull, i)
		<-asked
	}
	answers := make(chan string, 2)
	for i := range 2 {
		go func() { answers <- talk(t, l.Addr().String(), fmt.Sprintf(pull, 3+i)) }()
	}
	if got := <-answers; !strings.Contains(got, "BUSY") {
		t.Errorf("answered %q", got)
	}
	for range 20 {
		s.want(s.admin("PUT", "/v1/rows/T/1", ""), 204, nil)
	}
	close(hanging)
	<-answers
	deadline := time.Now().Add(patience)
	for s.as("3", "GET", "/api/sync/pull", "").Code != 401 {
		if time.Now().After(deadline) {
			t.Fatal("busy though nothing is being looked up")
		}
	}
}

// A token is looked up for as long as -auth-timeout says.
func TestAuthTimeout(t *testing.T) {
	for timeout, want := range map[time.Duration]time.Duration{0: 5 * time.Second, time.Hour: time.Hour} {
		t.Run(timeout.String(), func(t *testing.T) {
			var left time.Duration
			s := start(t, func(ho *hub.Options, _ *Options) {
				ho.AuthTimeout = timeout
				ho.Auth = hub.AuthenticatorFunc(func(ctx context.Context, _ string) (*hub.Identity, error) {
					until, _ := ctx.Deadline()
					left = time.Until(until)
					return nil, hub.ErrUnauthorized
				})
			})
			s.wantError(s.as("x", "GET", "/api/sync/pull", ""), 401, "UNAUTHORIZED")
			if left > want || left < want/10 {
				t.Errorf("%v for a lookup, want %v", left, want)
			}
		})
	}
}

// Whoever gives no token is counted, whichever call needs one.
func TestCallersWithoutATokenAreCounted(t *testing.T) {
	s := start(t, func(ho *hub.Options, _ *Options) { ho.Auth = auth.WithAdmin(ho.Auth, adminToken) })
	for i, call := range []string{"GET /api/sync/pull", "POST /v1/changes", "GET /v1/stats", "DELETE /v1/clients/1", "GET /metrics"} {
		method, target, _ := strings.Cut(call, " ")
		s.wantError(ask(s, method, target, ""), 401, "UNAUTHORIZED")
		if n := s.hub.Stats().AuthRefused[string(hub.CauseNoToken)]; n != uint64(i+1) {
			t.Errorf("%s: %d are counted, want %d", call, n, i+1)
		}
	}
}
