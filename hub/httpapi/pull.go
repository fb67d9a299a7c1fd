package httpapi

import (
	"bufio"
	"fmt"
	"net/http"
	"strconv"

	"github.com/busbar-ws/busbar/hub"
)

const (
	defaultPull = 100
	maxPull     = 1000
)

// pull is GET /api/sync/pull. The caller may be any client or an admin, or nobody where
// connections need no token either.
func (a *api) pull(w http.ResponseWriter, r *http.Request) error {
	id, err := a.identify(w, r, bearer(r))
	if err != nil {
		return err
	}
	k := calling
	if id.Admin {
		k = administering
	}
	return a.in(k, id, func(w http.ResponseWriter, r *http.Request) error { return a.page(w, r, id) }, w, r)
}

// page answers a pull of who has a place.
func (a *api) page(w http.ResponseWriter, r *http.Request, id *hub.Identity) error {
	since, err := queryUint(r, "since", 0)
	if err != nil {
		return err
	}
	limit, err := queryLimit(r, defaultPull, maxPull)
	if err != nil {
		return err
	}
	// Pylon's server-side rendering asks with limit=0: nothing but a cursor is wanted, and none but the
	// caller's own is one that loses no change.
	page, err := a.hub.Pull(r.Context(), id, since, int(max(limit, 1)))
	if err != nil {
		return err
	}
	if limit == 0 {
		page = hub.Pulled{LastSeq: since, HasMore: page.HasMore || len(page.Changes) > 0, Partial: page.Partial}
	}
	release, err := a.hub.Hold(page)
	if err != nil {
		return err
	}
	defer release()
	return writePage(w, page)
}

// pageBuffer joins small events, so that not each of them is a write; larger ones go past it.
const pageBuffer = 16 << 10

// writePage sends the events as they are: they are JSON already, and the log's own bytes,
// which all who pull them share.
func writePage(w http.ResponseWriter, page hub.Pulled) error {
	const begin, between = `{"changes":[`, ','
	partial := ""
	if page.Partial {
		partial = `,"complete":false`
	}
	end := fmt.Appendf(nil, `],"cursor":{"last_seq":%d},"has_more":%t%s}`+"\n", page.LastSeq, page.HasMore, partial)
	size := len(begin) + len(end) + max(len(page.Changes)-1, 0)
	for _, event := range page.Changes {
		size += len(event)
	}
	w.Header().Set("Content-Length", strconv.Itoa(size))
	writeHeader(w, http.StatusOK)
	b := bufio.NewWriterSize(w, pageBuffer)
	_, _ = b.WriteString(begin)
	for i, event := range page.Changes {
		if i > 0 {
			_ = b.WriteByte(between)
		}
		_, _ = b.Write(event)
	}
	_, _ = b.Write(end)
	_ = b.Flush() // it fails when the client has gone
	return nil
}
