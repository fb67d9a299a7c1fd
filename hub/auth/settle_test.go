package auth

import (
	"slices"
	"testing"
	"time"

	"github.com/busbar-ws/busbar/hub"
)

// A session whose end is put off is settled as that even if its old end has come meanwhile: its
// connections are just being given the new one.
func TestProlongedAtTheLastMoment(t *testing.T) {
	now := time.Now()
	for _, test := range []struct {
		name     string
		old, row *hub.Identity
		ends     bool
	}{
		{"before its end", &hub.Identity{UserID: "u", Expires: now.Add(time.Minute)}, &hub.Identity{UserID: "u", Expires: now.Add(time.Hour)}, false},
		{"at its end", &hub.Identity{UserID: "u", Expires: now.Add(-time.Second)}, &hub.Identity{UserID: "u", Expires: now.Add(time.Hour)}, false},
		{"for ever", &hub.Identity{UserID: "u", Expires: now.Add(-time.Second)}, &hub.Identity{UserID: "u"}, false},
		{"given to another", &hub.Identity{UserID: "u", Expires: now.Add(-time.Second)}, &hub.Identity{UserID: "v", Expires: now.Add(time.Hour)}, true},
		{"to another tenant", &hub.Identity{UserID: "u", Expires: now.Add(-time.Second)}, &hub.Identity{UserID: "u", Tenant: "t", Expires: now.Add(time.Hour)}, true},
		{"cut short", &hub.Identity{UserID: "u", Expires: now.Add(time.Hour)}, &hub.Identity{UserID: "u", Expires: now.Add(time.Minute)}, true},
	} {
		var ended []*hub.Identity
		s := &Sessions{
			memo: memo{cache: newSessionCache(10)},
			opts: SessionOptions{OnRevoked: func(ids []*hub.Identity) { ended = append(ended, ids...) }},
		}
		s.memo.cache.put("tok", test.old, 0, thisMoment())
		s.settle([]known{{"tok", test.old}}, map[string]*hub.Identity{"tok": test.row})
		if got := slices.Contains(ended, test.old); got != test.ends {
			t.Errorf("%s: ended: %t", test.name, got)
		}
		if id, ok := s.memo.cache.get("tok", thisMoment()); ok == test.ends || ok && id != test.row {
			t.Errorf("%s: a new connection gets %+v", test.name, id)
		}
	}
}
