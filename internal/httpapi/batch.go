package httpapi

import (
	"bytes"
	"fmt"
	"net/http"

	"github.com/busbar-ws/busbar/hub"
)

// maxBatch bounds the changes of one NDJSON body, which can be short but many: parsed,
// a line of 40 bytes is parsedChange.
const (
	maxBatch     = 100_000
	parsedChange = 256
)

// published is the answer to an NDJSON body. A repeated op_id's seq lies before
// the others', so FirstSeq and LastSeq are the least and the greatest.
type published struct {
	FirstSeq uint64 `json:"first_seq"`
	LastSeq  uint64 `json:"last_seq"`
	Count    int    `json:"count"`
}

// numbered is a change and the line that it came from.
type numbered struct {
	line   int
	change hub.Change
}

// What is published in one go at most, if there's room for it.
const (
	together      = 128     // changes
	togetherBytes = 1 << 20 // of their data; the change that reaches it is the last
)

// postBatch publishes one change per line. All lines are read and checked before the
// first is published, so that a bad line leaves nothing behind. A change log that fails
// can still stop it half-way; the answer then says at which line, and how many changes
// before it stand. So it does when the caller has gone: nobody waits for room on their behalf,
// and what isn't paced may push others' messages out of the queues. Going on would also
// mix with what a caller sends who tries again.
func (a *api) postBatch(w http.ResponseWriter, r *http.Request) error {
	batch, release, err := a.readBatch(w, r)
	if err != nil {
		return err
	}
	defer release()
	var done published
	for len(batch) > 0 {
		a.waitDrained(r)
		if err := r.Context().Err(); err != nil {
			return atLine(err, batch[0].line, done.Count)
		}
		part := batch[:cut(batch, min(together, a.hub.DrainedMessages()))]
		batch = batch[len(part):]
		seqs, err := a.hub.PublishChanges(changesOf(part)...)
		for _, seq := range seqs {
			done.add(seq)
		}
		if err != nil {
			return atLine(err, part[len(seqs)].line, done.Count)
		}
	}
	return writeJSON(w, done)
}

// readBatch has the changes counted as buffered until release is called: they may have to wait for
// room. Twice the largest body can always be had.
func (a *api) readBatch(w http.ResponseWriter, r *http.Request) (batch []numbered, release func(), err error) {
	body, done, err := a.readBody(w, r)
	if err != nil {
		return nil, nil, err
	}
	defer done()
	lines := min(bytes.Count(body, []byte("\n"))+1, maxBatch)
	release, err = a.hub.Reserve(min(len(body)+lines*parsedChange, 2*int(a.MaxBody)))
	if err != nil {
		return nil, nil, err
	}
	if batch, err = parseBatch(body, a.hub.CheckChange); err != nil {
		release()
	}
	return batch, release, err
}

// cut is how many of the batch, which isn't empty, go out next.
func cut(batch []numbered, most int) int {
	bytes := 0
	for i := range batch {
		if bytes += len(batch[i].change.Data); bytes >= togetherBytes || i+1 == most {
			return i + 1
		}
	}
	return len(batch)
}

func changesOf(batch []numbered) []hub.Change {
	changes := make([]hub.Change, len(batch))
	for i, n := range batch {
		changes[i] = n.change
	}
	return changes
}

func (p *published) add(seq uint64) {
	if p.Count == 0 {
		p.FirstSeq = seq
	}
	p.FirstSeq = min(p.FirstSeq, seq)
	p.LastSeq = max(p.LastSeq, seq)
	p.Count++
}

// parseBatch reads and checks all lines; blank ones are skipped but counted.
func parseBatch(body []byte, check func(*hub.Change) error) ([]numbered, error) {
	var batch []numbered
	line := 0
	for text := range bytes.Lines(body) {
		line++
		if len(bytes.TrimSpace(text)) == 0 {
			continue
		}
		if len(batch) == maxBatch {
			return nil, atLine(newFailure(http.StatusRequestEntityTooLarge, "TOO_LARGE",
				fmt.Sprintf("a body may have at most %d changes", maxBatch)), line, 0)
		}
		c, err := hub.DecodeChange(text)
		if err == nil {
			err = check(&c)
		}
		if err != nil {
			return nil, atLine(err, line, 0)
		}
		batch = append(batch, numbered{line, c})
	}
	if len(batch) == 0 {
		return nil, newFailure(http.StatusBadRequest, "INVALID_JSON", "the body has no changes")
	}
	return batch, nil
}

// atLine adds to an error where in the batch it came up and what was done before it.
func atLine(err error, line, applied int) *failure {
	f := *failureOf(err)
	f.Message = fmt.Sprintf("line %d: %s (%d changes of this body were published)", line, f.Message, applied)
	f.Line, f.Applied = line, &applied
	return &f
}
