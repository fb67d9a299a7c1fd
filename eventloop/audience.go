package eventloop

import "github.com/busbar-ws/busbar/subs"

// Audience names who gets a frame. A nil *Audience is everyone; otherwise exactly one
// of Key, Clients and Names is used, or Key with one name. It is immutable once handed to
// the Engine.
type Audience struct {
	// Key is a subscription's name: everyone subscribed to it, or, with a name in Names,
	// those of them who have that label.
	Key string
	// Clients are client ids.
	Clients []uint64
	// Label and Names: every client whose label of that kind is one of the names (see
	// Acceptance.Labels). Where one name is every client's it costs what everyone does.
	Label Label
	Names []string

	key *subs.Key // looked up by Publish
}

// Label is a kind of name that a client carries from its acceptance on.
type Label uint8

// The hub uses the two for the user and the tenant. What they mean isn't known here.
const (
	LabelUser Label = iota
	LabelTenant
	labelKinds
)

// byLoop splits client ids by the loop that owns them.
func byLoop(ids []uint64, loops int) [][]uint64 {
	split := make([][]uint64, loops)
	for _, id := range ids {
		if i := loopOf(id); i < loops {
			split[i] = append(split[i], id)
		}
	}
	return split
}
