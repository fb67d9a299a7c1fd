package loadgen

import (
	"bytes"
	"encoding/binary"
	"fmt"

	"github.com/busbar-ws/busbar/bench/runner"
)

// RowPlan says who is subscribed to which row and which row a message goes to, by
// arithmetic alone: a million subscriptions take no table, and a client that gets a message
// can tell whether it should have, and how many it should have had before. Immutable once
// prepared; safe from any goroutine.
//
// Clients stand in as many layers as a row has subscribers, and rows in as many blocks as
// a client has rows; blocks are as large as layers. Each client has one row of each block,
// and each row one client of each layer. Who meets whom is another draw in each block.
// Clients that are left over when layers are full subscribe to nothing.
type RowPlan struct {
	Clients     int `json:"clients"`
	Rows        int `json:"rows"`        // of each client
	Subscribers int `json:"subscribers"` // of each row

	layer  uint64 // clients in a layer, and rows in a block
	stride uint64 // consecutive messages go to rows that are this far apart
	back   uint64 // undoes stride: stride*back is 1 modulo layer
}

// maxRows bounds the rows of a plan: their ids have eight digits.
const maxRows = 100_000_000

// Prepare checks a plan, and makes it ready for use.
func (p *RowPlan) Prepare() error {
	if p.Rows < 1 || p.Subscribers < 1 || p.Subscribers > p.Clients {
		return fmt.Errorf("%w: rows: %d of each client, %d subscribers, %d clients: at least 1, and no more subscribers than clients",
			runner.ErrOptions, p.Rows, p.Subscribers, p.Clients)
	}
	p.layer = uint64(p.Clients / p.Subscribers)
	if p.Total() > maxRows {
		return fmt.Errorf("%w: rows: %d clients with %d each, %d to a row, are %d rows; at most %d",
			runner.ErrOptions, p.Clients, p.Rows, p.Subscribers, p.Total(), maxRows)
	}
	p.stride = max(p.layer*618/1000, 1)
	for gcd(p.stride, p.layer) != 1 {
		p.stride++
	}
	p.back = inverse(p.stride, p.layer)
	return nil
}

func gcd(a, b uint64) uint64 {
	for b != 0 {
		a, b = b, a%b
	}
	return a
}

// inverse is the number that times a is 1 modulo m; a and m have no common divisor.
func inverse(a, m uint64) uint64 {
	r, next := int64(m), int64(a%m)
	t, later := int64(0), int64(1)
	for next != 0 {
		q := r / next
		r, next = next, r-q*next
		t, later = later, t-q*later
	}
	return uint64((t + int64(m)) % int64(m))
}

// Total is how many rows there are.
func (p *RowPlan) Total() uint64 { return p.layer * uint64(p.Rows) }

// Subscriptions is how many all clients have together.
func (p *RowPlan) Subscriptions() int { return int(p.Total()) * p.Subscribers }

// shift is how far a layer's clients are moved against the rows of a block. The factors
// are odd and otherwise of no meaning; what counts is that layers differ in each block.
func (p *RowPlan) shift(layer, block uint64) uint64 {
	h := (layer+1)*0x9E3779B97F4A7C15 ^ (block+1)*0xC2B2AE3D27D4EB4F
	h ^= h >> 29
	h *= 0xBF58476D1CE4E5B9
	return (h ^ h>>32) % p.layer
}

// row is the one that a client has in a block; ok is false when it has none.
func (p *RowPlan) row(client, block int) (row uint64, ok bool) {
	if client >= int(p.layer)*p.Subscribers {
		return 0, false
	}
	c, b := uint64(client), uint64(block)
	return b*p.layer + (c%p.layer+p.shift(c/p.layer, b))%p.layer, true
}

// block is where a client has a row; ok is false when it isn't one of its rows.
func (p *RowPlan) block(client int, row uint64) (block int, ok bool) {
	if row >= p.Total() {
		return 0, false
	}
	block = int(row / p.layer)
	own, ok := p.row(client, block)
	return block, ok && own == row
}

// Members appends the clients of a row.
func (p *RowPlan) Members(to []uint32, row uint64) []uint32 {
	block, x := row/p.layer, row%p.layer
	for layer := range uint64(p.Subscribers) {
		to = append(to, uint32(layer*p.layer+(x+p.layer-p.shift(layer, block))%p.layer))
	}
	return to
}

// Target is the row that a message goes to: block by block, each row once, and then all
// of that again.
func (p *RowPlan) Target(seq uint64) (row uint64) {
	at := seq % p.Total()
	return at/p.layer*p.layer + at%p.layer*p.stride%p.layer
}

// before is how many of the messages below seq go to rows of a client.
func (p *RowPlan) before(client int, seq uint64) uint64 {
	at := seq % p.Total()
	block := at / p.layer
	n := seq/p.Total()*uint64(p.Rows) + block
	row, ok := p.row(client, int(block))
	if !ok {
		return 0
	}
	if row%p.layer*p.back%p.layer < at%p.layer {
		n++
	}
	return n
}

// Row frames (docs/protocol.md section 3) as the bench uses them: one entity, and ids of eight digits.
const (
	rowSnapshot = 0x10
	rowUpdate   = 0x11

	rowEntity = "Item"
	rowDigits = 8
	RowHead   = 1 + 2 + len(rowEntity) + 2 + rowDigits
)

// rowNames is what stands in a row frame between its type and the row's digits.
var rowNames = append(append([]byte{0, byte(len(rowEntity))}, rowEntity...), 0, rowDigits)

func appendRowID(b []byte, row uint64) []byte {
	for unit := uint64(maxRows / 10); unit > 0; unit /= 10 {
		b = append(b, byte('0'+row/unit%10))
	}
	return b
}

// AppendUpdate appends the head of an update of a row.
func AppendUpdate(b []byte, row uint64) []byte { return appendRowHead(b, rowUpdate, row) }

func appendRowHead(b []byte, kind byte, row uint64) []byte {
	return appendRowID(append(append(b, kind), rowNames...), row)
}

// readRowHead reads a row frame; ok is false when it is none of the bench's.
func readRowHead(b []byte) (kind byte, row uint64, ok bool) {
	if len(b) < RowHead || !bytes.HasPrefix(b[1:], rowNames) {
		return 0, 0, false
	}
	for _, digit := range b[RowHead-rowDigits : RowHead] {
		if digit < '0' || digit > '9' {
			return 0, 0, false
		}
		row = 10*row + uint64(digit-'0')
	}
	return b[0], row, true
}

// appendSubscribe appends a client's message that subscribes it to a row (docs/protocol.md section 2).
func appendSubscribe(b []byte, row uint64) []byte {
	const text = `{"type":"crdt-subscribe","entity":"` + rowEntity + `","rowId":"`
	b = appendClientHeader(b, opText, len(text)+rowDigits+2)
	return append(appendRowID(append(b, text...), row), '"', '}')
}

// appendClientHeader appends the header of a client's frame of less than 64 KiB. Clients
// must mask (RFC 6455 5.3); a key of zeros is a mask that costs nothing.
func appendClientHeader(b []byte, op byte, size int) []byte {
	b = append(b, 0x80|op)
	if size <= 125 {
		return append(b, 0x80|byte(size), 0, 0, 0, 0)
	}
	b = append(b, 0x80|126)
	return append(binary.BigEndian.AppendUint16(b, uint16(size)), 0, 0, 0, 0)
}
