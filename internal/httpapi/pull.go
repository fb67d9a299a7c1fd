package httpapi

import (
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
	since, err := queryUint(r, "since", 0)
	if err != nil {
		return err
	}
	limit, err := queryUint(r, "limit", defaultPull)
	if err != nil {
		return err
	}
	// Pylon's server-side rendering asks with limit=0: nothing but a cursor is wanted, and none but the
	// caller's own is one that loses no change.
	page, err := a.hub.Pull(r.Context(), id, since, int(min(max(limit, 1), maxPull)))
	if err != nil {
		return err
	}
	if limit == 0 {
		page = hub.Pulled{LastSeq: since, HasMore: page.HasMore || len(page.Changes) > 0}
	}
	writeBody(w, http.StatusOK, appendPage(nil, page))
	return nil
}

// appendPage puts the events, which are JSON already, into a page as they are: encoding/json
// would parse and escape each of them again.
func appendPage(b []byte, page hub.Pulled) []byte {
	b = append(b, `{"changes":[`...)
	for i, event := range page.Changes {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, event...)
	}
	b = append(b, `],"cursor":{"last_seq":`...)
	b = strconv.AppendUint(b, page.LastSeq, 10)
	b = append(b, `},"has_more":`...)
	b = strconv.AppendBool(b, page.HasMore)
	return append(b, '}')
}

// queryUint is a whole number from the query, or missing when it isn't there.
func queryUint(r *http.Request, name string, missing uint64) (uint64, error) {
	text := r.URL.Query().Get(name)
	if text == "" {
		return missing, nil
	}
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		return 0, invalidField(name, "must be a whole number that isn't negative")
	}
	return n, nil
}
