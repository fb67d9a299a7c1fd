package proof

import (
	"fmt"
)

// subscribe asks for a stream; the server has acted on it after settle. It asks once: a row's
// snapshot would come again, somewhere among the row's updates.
func (p *peer) subscribe(s *stream) error {
	fresh := false
	p.with(func(a *account) { fresh = a.subscribe(s) })
	if !fresh {
		return nil
	}
	return p.say("%s", subscription(s, ""))
}

func (p *peer) unsubscribe(s *stream) error {
	if err := p.say("%s", subscription(s, "un")); err != nil {
		return err
	}
	if err := p.settle(); err != nil {
		return err
	}
	p.with(func(a *account) { a.unsubscribed(s) })
	return nil
}

func subscription(s *stream, un string) string {
	switch s.kind {
	case rows:
		return fmt.Sprintf(`{"type":"crdt-%ssubscribe","entity":%q,"rowId":%q}`, un, rowEntity, s.key)
	case changes:
		return fmt.Sprintf(`{"type":"%ssubscribe","entity":%q}`, un, s.key)
	}
	return fmt.Sprintf(`{"type":"%ssubscribe","topic":%q}`, un, s.key)
}

// rowEntity is the entity of all rows.
const rowEntity = "Row"
