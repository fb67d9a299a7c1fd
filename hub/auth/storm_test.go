package auth_test

import (
	"context"
	"database/sql/driver"
	"fmt"
	"io"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"modernc.org/sqlite"

	"github.com/busbar-ws/busbar/eventloop"
	"github.com/busbar-ws/busbar/hub"
	"github.com/busbar-ws/busbar/hub/auth"
	"github.com/busbar-ws/busbar/internal/wstest"
)

// asked is called by SQLite for each row that a query of countedView's comes to.
var asked atomic.Pointer[func()]

func init() {
	sqlite.MustRegisterScalarFunction("asked", 1, func(*sqlite.FunctionContext, []driver.Value) (driver.Value, error) {
		if f := asked.Load(); f != nil {
			(*f)()
		}
		return int64(1), nil
	})
	// A session file's views may not call functions, unless the test wants it.
	sqlite.RegisterConnectionHook(func(conn sqlite.ExecQuerierContext, _ string) error {
		if asked.Load() == nil {
			return nil
		}
		_, err := conn.ExecContext(context.Background(), "PRAGMA trusted_schema = 1", nil)
		return err
	})
}

// countedView is Pylon's table, with asked looking on.
const countedView = `CREATE VIEW _pylon_sessions AS
	SELECT token, user_id, expires_at, created_at, device, tenant_id FROM held WHERE asked(token)`

// A thousand connections that bring one token which nobody has asked about yet are one query,
// on a real file, through a real server: its loops, its workers and what is below them.
func TestStormOfOneTokenIsOneQuery(t *testing.T) {
	const many = 1000
	p := newPylon(t, "WAL")
	p.exec(`ALTER TABLE _pylon_sessions RENAME TO held`)
	p.exec(countedView)
	p.exec(`INSERT INTO held VALUES ('storm', 'alice', 0, 1700000000, NULL, NULL)`)
	var server atomic.Pointer[hub.Hub]
	var queries atomic.Int64
	everybody := func() {
		queries.Add(1)
		// The answer is held back until all are there, or have failed.
		for server.Load().Stats().Handshakes < many && !t.Failed() {
			<-time.After(time.Millisecond)
		}
	}
	auth.SetLookupTimeout(t, wstest.Patience)
	asked.Store(&everybody)
	defer asked.Store(nil)
	sessions, err := auth.OpenSessions(p.path, auth.SessionOptions{ReadOnly: true, PollInterval: time.Hour})
	must(t, err)
	defer sessions.Close()
	h, err := hub.New(hub.Options{Auth: sessions, AuthTimeout: wstest.Patience, Loops: eventloop.Options{
		Listen: "127.0.0.1:0", Loops: 2, Accept: eventloop.AcceptOptions{MaxPerAddress: -1}, Timeouts: eventloop.Timeouts{Handshake: wstest.Patience}}})
	must(t, err)
	server.Store(h)
	defer func() {
		gone, cancel := context.WithCancel(context.Background())
		cancel() // nobody is to be waited for
		_ = h.Shutdown(gone)
	}()

	var wg sync.WaitGroup
	for range many {
		wg.Go(func() {
			if err := upgrade(t, h.Addr().String(), "storm"); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if n := queries.Load(); n != 1 {
		t.Errorf("%d queries", n)
	}
	if s := h.Stats(); s.Auth["looked_up"]+s.Auth["cached"] != many {
		t.Errorf("decisions: %v", s.Auth)
	}
}

// upgrade connects with a token until the test is over.
func upgrade(t *testing.T, addr, token string) error {
	raw, err := wstest.DialRaw(t, "", addr)
	if err != nil {
		return err
	}
	if _, err := io.WriteString(raw.Conn, wstest.Request("/", "Authorization: Bearer "+token)); err != nil {
		return err
	}
	status, err := raw.R.ReadString('\n')
	if err != nil || !strings.Contains(status, " 101 ") {
		return fmt.Errorf("the upgrade was answered by %q, %w", status, err)
	}
	return nil
}
