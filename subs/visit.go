package subs

// visit is one walk over a name's subscribers, which may take many turns of the loop.
//
// Invariant: of the roster's entries those before left are still to be visited, and nobody else
// is. So a removal among them fills its gap with the last of them, not with the roster's last
// entry, who was visited already or came meanwhile.
type visit struct {
	key  *Key // of the roster; nil: there is no walk
	slot uint32
	left int
}

// Visit begins a walk over the clients of this loop that subscribed to the key's name, and ends the
// one before it. The key may be nil, and may be of an earlier life of the name.
func (x *Index) Visit(k *Key) {
	x.visit = visit{}
	if slot, ok := x.slot(k); ok {
		r := x.rosters[slot]
		x.visit = visit{key: r.key, slot: slot, left: len(r.subscribers)}
	}
}

// Next is the next client of the walk, and false at its end. Subscriptions may begin and end between
// two calls: each client that was subscribed at Visit and has stayed so is returned once, the latest
// entry first. One that has gone before its turn isn't, and neither is one that came after Visit.
func (x *Index) Next() (client uint32, ok bool) {
	if x.visit.left == 0 {
		x.visit.key = nil
		return 0, false
	}
	x.visit.left--
	return x.rosters[x.visit.slot].subscribers[x.visit.left].client, true
}
