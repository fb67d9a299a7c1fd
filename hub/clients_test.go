package hub

import (
	"fmt"
	"slices"
	"testing"

	"github.com/coder/websocket"
)

// docs/protocol.md section 3: ids are below 2^53 and never used again, and a crowd that leaves is told of
// in few messages that name each of them once.
func TestCrowdLeaves(t *testing.T) {
	const crowd = 1000
	h := start(t, roomy)
	stays := listen(t, h, "stays", "")
	known := map[uint64]bool{}
	for round := range 2 {
		var clients []*client
		for range crowd / (1 + 9*round) {
			clients = append(clients, connect(t, h, "crowd"))
		}
		ids := map[uint64]bool{}
		for _, info := range allClients(t, h) {
			if info.UserID == "crowd" {
				ids[info.ID] = true
				if info.ID >= 1<<53 || known[info.ID] {
					t.Errorf("id %d is too large, or was somebody's before", info.ID)
				}
				known[info.ID] = true
			}
		}
		if len(ids) != len(clients) {
			t.Fatalf("%d ids for %d clients", len(ids), len(clients))
		}
		h.CloseIdentity(isUser("crowd"), "away with you")
		messages := 0
		for len(ids) > 0 {
			left, err := leavesOf(stays.next().String())
			if err != nil {
				t.Fatal(err)
			}
			messages++
			for _, id := range left {
				if !ids[id] {
					t.Fatalf("%d has left twice, or was never there", id)
				}
				delete(ids, id)
			}
		}
		if messages > len(clients)/10 {
			t.Errorf("%d messages about %d clients", messages, len(clients))
		}
		nothingMore(t, h, stays)
		for _, c := range clients {
			_ = c.CloseNow()
		}
	}
}

// docs/protocol.md section 2: each tenant is told of its own who have left, also when that is more messages at
// once than a loop's queue holds.
func TestCrowdOfTenantsLeaves(t *testing.T) {
	const tenants, queue = 100, 16
	h := start(t, func(o *Options) { roomy(o); o.Loops.Memory.QueueMessages = queue })
	stay := make([]*listener, tenants)
	for i := range stay {
		stay[i] = listen(t, h, fmt.Sprint("stays@", i), "")
		connect(t, h, fmt.Sprint("leaves@", i))
	}
	leaver := map[string]uint64{}
	for _, info := range allClients(t, h) {
		if info.UserID == "leaves" {
			leaver[info.Tenant] = info.ID
		}
	}
	h.CloseIdentity(isUser("leaves"), "away with you")
	for i, l := range stay {
		left, err := leavesOf(l.next().String())
		if want := leaver[fmt.Sprint(i)]; err != nil || !slices.Equal(left, []uint64{want}) {
			t.Errorf("tenant %d is told of %v, %v; want %d", i, left, err, want)
		}
	}
	nothingMore(t, h, stay[0])
}

// docs/protocol.md section 3: the form of the message.
func TestDisconnectMessage(t *testing.T) {
	for want, ids := range map[string][]uint64{
		`{"type":"presence","event":"disconnect","clientId":17}`:                        {17},
		`{"type":"presence","event":"disconnect","clientId":17,"clientIds":[17,3,256]}`: {17, 3, 256},
	} {
		if got := string(disconnectMessage(ids)); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}

func allClients(t *testing.T, h *Hub) []ClientInfo {
	t.Helper()
	all, err := h.Clients(within(t), 0, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// docs/protocol.md section 5, GET /v1/clients: pages are in the order of ids, and everyone is on one of them.
func TestClientsInPages(t *testing.T) {
	h := start(t, roomy)
	const clients = 25
	for i := range clients {
		connect(t, h, fmt.Sprintf("user%d@acme", i))
	}
	connect(t, h, "ADMIN")
	for _, limit := range []int{1, 7, 26, 100} {
		var users []string
		after := uint64(0)
		for {
			page, err := h.Clients(within(t), after, limit)
			if err != nil || len(page) > limit {
				t.Fatalf("%d clients, %v", len(page), err)
			}
			if len(page) == 0 {
				break
			}
			for _, info := range page {
				if info.ID <= after || info.Address != "127.0.0.1" || info.Admin == (info.Tenant == "acme") || info.ConnectedAt.IsZero() {
					t.Errorf("after %d: %+v", after, info)
				}
				after = info.ID
				users = append(users, info.UserID)
			}
		}
		slices.Sort(users)
		if len(users) != clients+1 || len(slices.Compact(users)) != clients+1 {
			t.Errorf("pages of %d: %q", limit, users)
		}
	}
	for _, limit := range []int{0, -1} {
		if page, err := h.Clients(within(t), 0, limit); err != nil || len(page) != 0 {
			t.Errorf("limit %d: %d clients, %v", limit, len(page), err)
		}
	}
}

// docs/protocol.md section 5, DELETE /v1/clients/{id}
func TestDisconnect(t *testing.T) {
	h := start(t, nil)
	alice, bob := listen(t, h, "alice", ""), listen(t, h, "bob", "")
	alice.sendAndSettle(`{"type":"subscribe","topic":"t"}`)
	var id uint64
	for _, info := range allClients(t, h) {
		if info.UserID == "alice" {
			id = info.ID
			if info.Subscriptions != 1 {
				t.Errorf("%+v", info)
			}
		}
	}
	if found, err := h.Disconnect(within(t), id); !found || err != nil {
		t.Error("alice wasn't found")
	}
	if code, _ := alice.ended(); code != websocket.StatusPolicyViolation {
		t.Errorf("close code %d", code)
	}
	for _, nobody := range []uint64{id, 0, 1, 1 << 60} {
		if found, err := h.Disconnect(within(t), nobody); found || err != nil {
			t.Errorf("%d was disconnected", nobody)
		}
	}
	if err := bob.settle(); err != nil || h.ClientCount() != 1 || h.SubscriptionCount() != 0 {
		t.Errorf("bob: %v; %d clients, %d subscriptions", err, h.ClientCount(), h.SubscriptionCount())
	}
}
