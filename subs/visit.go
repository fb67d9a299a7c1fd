package subs

import "iter"

// Subscribers yields the clients of this loop that subscribed to the key's name, the
// latest entry first. The key may be nil, and may be of an earlier life of the name.
//
// The body of the iteration may make the visited client, or one visited before, leave
// or unsubscribe, which a failed write does: everyone else is still visited exactly
// once. A client that the body subscribes isn't visited. When the body removes one
// that is still to be visited, another may be visited twice, but none is skipped.
func (x *Index) Subscribers(k *Key) iter.Seq[uint32] {
	return func(yield func(client uint32) bool) { x.visit(k, yield) }
}

// visit walks backwards, because a removal moves the roster's last entry into the gap:
// walking backwards, that one was visited already. Walking forwards, it would be
// skipped.
func (x *Index) visit(k *Key, yield func(client uint32) bool) {
	slot, ok := x.slot(k)
	if !ok {
		return
	}
	key := x.rosters[slot].key
	for i := len(x.rosters[slot].subscribers) - 1; i >= 0; i-- {
		// Looked up each time round: the body may have emptied the roster, moved the
		// slab, or given the slot to another name.
		if int(slot) >= len(x.rosters) || x.rosters[slot].key != key {
			return
		}
		subscribers := x.rosters[slot].subscribers
		i = min(i, len(subscribers)-1)
		if !yield(subscribers[i].client) {
			return
		}
	}
}
