//go:build !race && !racedaemon

package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"
)

const pylonTable = `CREATE TABLE _pylon_sessions (token TEXT PRIMARY KEY, user_id TEXT NOT NULL,
	expires_at INTEGER NOT NULL, created_at INTEGER NOT NULL, device TEXT, tenant_id TEXT)`

// docs/protocol.md section 4: Pylon's own file just works, and stays as it is.
func TestPylonsSessionFile(t *testing.T) {
	t.Parallel()
	for _, journal := range []string{"DELETE", "WAL"} {
		t.Run(journal, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "pylon.db")
			now := time.Now().Unix()
			sqlite(t, path, `PRAGMA journal_mode = `+journal, pylonTable,
				`CREATE TABLE _pylon_other (id INTEGER)`,
				fmt.Sprintf(`INSERT INTO _pylon_sessions VALUES ('pylon-token', 'alice', 0, %d, 'phone', 'acme'),
					('ended-token', 'alice', %d, %d, NULL, NULL)`, now, now-60, now-3600)).Close()
			before := filesIn(t, filepath.Dir(path))
			d := startDaemon(t, "-sessions-db", path)
			d.secret = append(d.secret, "pylon-token")
			c := startGoClient(t, d.url(""), "pylon-token", "subprotocol")
			c.waitEvent(soon, "open")
			c.send(`{"type":"presence"}`)
			if m := waitType(c, "presence"); m.From != "alice" {
				t.Errorf("presence from %q", m.From)
			}
			waitClose(t, startGoClient(t, d.url(""), "ended-token", "header"), 1008)
			for _, call := range [][3]string{{"POST", "/v1/sessions", `{"user_id":"u"}`}, {"DELETE", "/v1/sessions/pylon-token", ""}} {
				if r := d.call(call[0], call[1], d.admin, call[2]); r.status != http.StatusConflict {
					t.Errorf("%s %s: %d %s", call[0], call[1], r.status, r.body)
				}
			}
			if after := filesIn(t, filepath.Dir(path)); !maps.Equal(before, after) {
				t.Errorf("the files beside Pylon's were\n%v\nand are\n%v", before, after)
			}
			// What Pylon does is noticed.
			sqlite(t, path, `DELETE FROM _pylon_sessions`, fmt.Sprintf(
				`INSERT INTO _pylon_sessions VALUES ('later-token', 'bob', 0, %d, NULL, NULL)`, now)).Close()
			waitClose(t, c, 1008)
			d.connect("later-token")
		})
	}
}

// filesIn is what is in a directory, by name: contents and time of the last change.
func filesIn(t *testing.T, dir string) map[string]string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	files := make(map[string]string)
	for _, entry := range entries {
		text, err := os.ReadFile(filepath.Join(dir, entry.Name()))
		if err != nil {
			t.Fatal(err)
		}
		info, err := entry.Info()
		if err != nil {
			t.Fatal(err)
		}
		files[entry.Name()] = fmt.Sprintf("%s %x", info.ModTime(), text)
	}
	return files
}

// docs/protocol.md section 2 with -rows-url: the operator's service has the snapshots and says who may read them.
func TestRowsFromAService(t *testing.T) {
	service := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var question struct {
			UserID string `json:"user_id"`
			Entity string
			RowID  string `json:"row_id"`
		}
		err := json.NewDecoder(r.Body).Decode(&question)
		switch {
		case err != nil || question.Entity == "Broken":
			http.Error(w, "broken", http.StatusInternalServerError)
		case question.UserID != "alice":
			http.Error(w, "no", http.StatusForbidden)
		default:
			fmt.Fprintf(w, "%s of %s", question.RowID, question.UserID)
		}
	}))
	t.Cleanup(service.Close)
	d := startDaemon(t, "-rows-url", service.URL)
	alice, mallory := d.connect(d.session("alice")), d.connect(d.session("mallory"))
	for _, c := range []peer{alice, mallory} {
		c.send(`{"type":"crdt-subscribe","entity":"Broken","rowId":"d_1"}`)
		c.send(`{"type":"crdt-subscribe","entity":"Doc","rowId":"d_1"}`)
	}
	wantFrame(t, alice, 0x10, "Doc", "d_1", "d_1 of alice")
	eventually(t, "mallory's subscription denied", func() bool {
		// What can't be fetched is an error, and no denial; it is tried again.
		return d.metric("busbar_row_subscriptions_denied_total") == 1 && d.metric("busbar_snapshot_errors_total") >= 2
	})
	d.adminCall("PUT", "/v1/rows/Doc/d_1?update=1", "live", nil)
	wantFrame(t, alice, 0x11, "Doc", "d_1", "live")
	seq := d.publish("t_1")
	mallory.wait(soon, "change event", func(e clientEvent) bool {
		if e.Event == "binary" {
			t.Errorf("mallory got %q", e.Base64)
		}
		return parse(e).Seq == seq
	})
}

// docs/protocol.md sections 2 and 5: a right that the service takes away ends the subscription by itself with
// -rows-recheck, and at once by a call.
func TestRowsAreRechecked(t *testing.T) {
	var denied sync.Map // of user ids
	service := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var question struct {
			UserID string `json:"user_id"`
		}
		if err := json.NewDecoder(r.Body).Decode(&question); err != nil {
			t.Error(err)
		}
		if _, no := denied.Load(question.UserID); no {
			http.Error(w, "no", http.StatusForbidden)
			return
		}
		fmt.Fprint(w, "snapshot")
	}))
	t.Cleanup(service.Close)
	d := startDaemon(t, "-rows-url", service.URL, "-rows-recheck", "200ms")
	alice, bob, carol := d.connect(d.session("alice")), d.connect(d.session("bob")), d.connect(d.session("carol"))
	for _, c := range []peer{alice, bob, carol} {
		c.send(`{"type":"crdt-subscribe","entity":"Doc","rowId":"d_1"}`)
		wantFrame(t, c, 0x10, "Doc", "d_1", "snapshot")
	}
	denied.Store("bob", true)
	eventually(t, "bob's subscription ended", func() bool { return d.metric("busbar_subscriptions") == 2 })
	denied.Store("carol", true)
	d.adminCall("DELETE", "/v1/rows/Doc/d_1/subscribers/carol", "", nil)
	if n := d.metric("busbar_subscriptions"); n != 1 {
		t.Errorf("%v subscriptions are left, want alice's", n)
	}
	d.adminCall("PUT", "/v1/rows/Doc/d_1?update=1", "live", nil)
	wantFrame(t, alice, 0x11, "Doc", "d_1", "live")
	seq := d.publish("t_1")
	for _, c := range []peer{alice, bob, carol} {
		c.wait(soon, "change event", func(e clientEvent) bool {
			if e.Event == "binary" {
				t.Errorf("got %q", e.Base64)
			}
			return parse(e).Seq == seq
		})
	}
}
