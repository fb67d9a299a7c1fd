package httpapi

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"slices"

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

// postBatch publishes one change per line, all or none of them where the change log is able to. All lines
// are read and checked before that, so that a bad line leaves nothing behind. A change log that fails
// half-way makes the answer say at which line, and how many changes before it stand. For a caller that
// has gone nothing is published: nobody waits for room on their behalf.
func (a *api) postBatch(w http.ResponseWriter, r *http.Request) error {
	batch, release, err := a.readBatch(w, r)
	if err != nil {
		return err
	}
	defer release()
	a.waitDrained(r)
	if err := r.Context().Err(); err != nil {
		return atLine(err, batch[0].line, 0)
	}
	seqs, err := a.hub.PublishChanges(changesOf(batch)...)
	if err != nil {
		at := min(len(seqs), len(batch)-1)
		if seq := (*hub.SeqError)(nil); errors.As(err, &seq) {
			at = seq.Index
		}
		return atLine(err, batch[at].line, len(seqs))
	}
	return writeJSON(w, published{FirstSeq: slices.Min(seqs), LastSeq: slices.Max(seqs), Count: len(seqs)})
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

func changesOf(batch []numbered) []hub.Change {
	changes := make([]hub.Change, len(batch))
	for i, n := range batch {
		changes[i] = n.change
	}
	return changes
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
