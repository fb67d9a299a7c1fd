package subs

// slot finds the roster of a key on this loop. A dead key stands for its name: a
// message that was addressed before the last subscriber left and another came still
// finds the new one.
func (x *Index) slot(k *Key) (uint32, bool) {
	if k == nil {
		return 0, false
	}
	if slot, ok := x.slots[k]; ok || k.holders.Load() != dead {
		return slot, ok
	}
	slot, ok := x.slots[x.table.Lookup(k.name)]
	return slot, ok
}

// open gives a key that this loop just acquired an empty roster.
func (x *Index) open(k *Key) uint32 {
	var slot uint32
	if n := len(x.free); n > 0 {
		slot, x.free = x.free[n-1], x.free[:n-1]
		x.rosters[slot].key = k
	} else {
		slot = uint32(len(x.rosters))
		x.rosters = append(x.rosters, roster{key: k})
	}
	x.slots[k] = slot
	x.size += nameSize + len(k.name)
	return slot
}

// find is the position of the client in a roster. It looks through the shorter of the
// two lists: either may have a hundred thousand entries, hardly ever both.
func (x *Index) find(client, slot uint32) (at uint32, ok bool) {
	own, subscribers := x.clients[client].list, x.rosters[slot].subscribers
	if len(own) <= len(subscribers) {
		for _, h := range own {
			if h.slot == slot {
				return h.at, true
			}
		}
		return 0, false
	}
	for i := range subscribers {
		if subscribers[i].client == client {
			return uint32(i), true
		}
	}
	return 0, false
}

// dropHolding removes an entry from the client's list, and the list with its last one.
func (x *Index) dropHolding(client, own uint32) {
	all := x.clients[client]
	last := len(all.list) - 1
	if last == 0 {
		x.dropClient(client)
		return
	}
	all.bytes -= len(x.rosters[all.list[own].slot].key.name)
	moved := all.list[last]
	all.list[own] = moved
	x.rosters[moved.slot].subscribers[moved.at].own = own
	all.list = shrink(all.list[:last])
	x.clients[client] = all
}

func (x *Index) dropClient(client uint32) {
	if _, known := x.clients[client]; known {
		delete(x.clients, client)
		x.size -= clientSize
	}
}

// dropSubscriber removes an entry from a roster, and the roster with its last one. The
// removed client's own list must be put right first, or be gone.
func (x *Index) dropSubscriber(slot, at uint32) {
	r := &x.rosters[slot]
	x.count--
	x.size -= subscriptionSize
	last := len(r.subscribers) - 1
	if last == 0 {
		x.closeRoster(slot)
		return
	}
	if v := &x.visit; v.key == r.key && int(at) < v.left {
		v.left--
		x.moveSubscriber(slot, uint32(v.left), at)
		at = uint32(v.left)
	}
	x.moveSubscriber(slot, uint32(last), at)
	r.subscribers = shrink(r.subscribers[:last])
}

// moveSubscriber overwrites one of a roster's entries with another.
func (x *Index) moveSubscriber(slot, from, to uint32) {
	if from == to {
		return
	}
	moved := x.rosters[slot].subscribers[from]
	x.rosters[slot].subscribers[to] = moved
	x.clients[moved.client].list[moved.own].at = to
}

func (x *Index) closeRoster(slot uint32) {
	key := x.rosters[slot].key
	x.size -= nameSize + len(key.name)
	if x.visit.key == key {
		x.visit = visit{}
	}
	x.rosters[slot] = roster{}
	x.free = append(x.free, slot)
	delete(x.slots, key)
	x.table.release(key, x.loop)
}

// settle gives everything back once nobody is subscribed. Leave calls it only at its
// end: in between, the slab that it works on must stay.
func (x *Index) settle() {
	if x.count == 0 && len(x.rosters) > 0 {
		x.reset()
	}
}

// shrink halves a list's capacity when three quarters of it are unused. Between two
// shrinkings lie at least a quarter as many removals as entries are copied, so the
// cost per removal stays constant.
func shrink[E any](list []E) []E {
	if cap(list) < 16 || len(list) > cap(list)/4 {
		return list
	}
	return append(make([]E, 0, cap(list)/2), list...)
}
