package eventloop

// accountSlack is how many bytes a loop's account may be off by before it settles with the
// ledger. It does at the end of each drain anyway.
const accountSlack = 64 << 10

// account is a loop's part of the ledger. Its sums are kept here and settled with the ledger
// now and then, so that what is written to clients costs no atomics. Owned by its loop. A nil
// account counts nothing.
type account struct {
	ledger    *ledger
	unsettled [heldKinds]int64
	moved     int64 // bytes that have come and gone since the account was settled
}

func (a *account) add(kind int, n int64) {
	if a == nil {
		return
	}
	a.unsettled[kind] += n
	if a.moved += max(n, -n); a.moved > accountSlack {
		a.settle()
	}
}

// settle brings the ledger up to date.
func (a *account) settle() {
	if a.moved == 0 {
		return
	}
	a.moved = 0
	for kind, n := range a.unsettled {
		if n != 0 {
			a.ledger.held[kind].Add(n)
			a.unsettled[kind] = 0
		}
	}
	a.ledger.judge()
}

// hold notes that the loop keeps f from being freed, in one more place. Frames that come
// from its mailbox are held already.
func (a *account) hold(f *Frame) {
	if a == nil {
		return
	}
	f.seal()
	if f.holders.Add(1) == 1 {
		a.add(heldFrames, f.footprint())
	}
}

// release is the opposite of hold.
func (a *account) release(f *Frame) {
	if a != nil && f.holders.Add(-1) == 0 {
		a.add(heldFrames, -f.footprint())
	}
}
