package bench

import "fmt"

// rowPlan says who is subscribed to which row and which row a message goes to, by
// arithmetic alone: a million subscriptions take no table, and a client that gets a message
// can tell whether it should have, and how many it should have had before. Immutable once
// prepared; safe from any goroutine.
//
// Clients stand in as many layers as a row has subscribers, and rows in as many blocks as
// a client has rows; blocks are as large as layers. Each client has one row of each block,
// and each row one client of each layer. Who meets whom is another draw in each block.
// Clients that are left over when layers are full subscribe to nothing.
type rowPlan struct {
	Clients     int `json:"clients"`
	Rows        int `json:"rows"`        // of each client
	Subscribers int `json:"subscribers"` // of each row

	layer  uint64 // clients in a layer, and rows in a block
	stride uint64 // consecutive messages go to rows that are this far apart
	back   uint64 // undoes stride: stride*back is 1 modulo layer
}

// maxRows bounds the rows of a plan: their ids have eight digits.
const maxRows = 100_000_000

func (p *rowPlan) prepare() error {
	if p.Rows < 1 || p.Subscribers < 1 || p.Subscribers > p.Clients {
		return fmt.Errorf("%w: rows: %d of each client, %d subscribers, %d clients: at least 1, and no more subscribers than clients",
			ErrOptions, p.Rows, p.Subscribers, p.Clients)
	}
	p.layer = uint64(p.Clients / p.Subscribers)
	if p.rows() > maxRows {
		return fmt.Errorf("%w: rows: %d clients with %d each, %d to a row, are %d rows; at most %d",
			ErrOptions, p.Clients, p.Rows, p.Subscribers, p.rows(), maxRows)
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

// rows is how many there are.
func (p *rowPlan) rows() uint64 { return p.layer * uint64(p.Rows) }

// subscriptions is how many all clients have together.
func (p *rowPlan) subscriptions() int { return int(p.rows()) * p.Subscribers }

// shift is how far a layer's clients are moved against the rows of a block. The factors
// are odd and otherwise of no meaning; what counts is that layers differ in each block.
func (p *rowPlan) shift(layer, block uint64) uint64 {
	h := (layer+1)*0x9E3779B97F4A7C15 ^ (block+1)*0xC2B2AE3D27D4EB4F
	h ^= h >> 29
	h *= 0xBF58476D1CE4E5B9
	return (h ^ h>>32) % p.layer
}

// row is the one that a client has in a block; ok is false when it has none.
func (p *rowPlan) row(client, block int) (row uint64, ok bool) {
	if client >= int(p.layer)*p.Subscribers {
		return 0, false
	}
	c, b := uint64(client), uint64(block)
	return b*p.layer + (c%p.layer+p.shift(c/p.layer, b))%p.layer, true
}

// block is where a client has a row; ok is false when it isn't one of its rows.
func (p *rowPlan) block(client int, row uint64) (block int, ok bool) {
	if row >= p.rows() {
		return 0, false
	}
	block = int(row / p.layer)
	own, ok := p.row(client, block)
	return block, ok && own == row
}

// subscribers appends the clients of a row.
func (p *rowPlan) subscribers(to []uint32, row uint64) []uint32 {
	block, x := row/p.layer, row%p.layer
	for layer := range uint64(p.Subscribers) {
		to = append(to, uint32(layer*p.layer+(x+p.layer-p.shift(layer, block))%p.layer))
	}
	return to
}

// target is the row that a message goes to: block by block, each row once, and then all
// of that again.
func (p *rowPlan) target(seq uint64) (row uint64) {
	at := seq % p.rows()
	return at/p.layer*p.layer + at%p.layer*p.stride%p.layer
}

// before is how many of the messages below seq go to rows of a client.
func (p *rowPlan) before(client int, seq uint64) uint64 {
	at := seq % p.rows()
	block := at / p.layer
	n := seq/p.rows()*uint64(p.Rows) + block
	row, ok := p.row(client, int(block))
	if !ok {
		return 0
	}
	if row%p.layer*p.back%p.layer < at%p.layer {
		n++
	}
	return n
}
