package httpapi

import (
	"net/http"
	"time"

	"github.com/busbar-ws/busbar/hub"
)

const (
	defaultLaggards = 20
	maxLaggards     = 1000
	defaultRecent   = 100
	maxRecent       = 1000
)

// listLaggards is GET /v1/laggards.
func (a *api) listLaggards(w http.ResponseWriter, r *http.Request) error {
	limit, err := queryLimit(r, defaultLaggards, maxLaggards)
	if err != nil {
		return err
	}
	furthest, all, err := a.hub.Laggards(r.Context(), int(limit))
	if err != nil {
		return err
	}
	return writeJSON(w, struct {
		Laggards []hub.Laggard `json:"laggards"`
		Lagging  int           `json:"lagging"`
	}{emptyList(furthest), all})
}

// listCloses is GET /v1/closes.
func (a *api) listCloses(w http.ResponseWriter, r *http.Request) error {
	which, err := queryRecent(r)
	if err != nil {
		return err
	}
	closes, since, err := a.hub.Closes(r.Context(), which)
	if err != nil {
		return err
	}
	return writeJSON(w, struct {
		Closes []hub.Closed `json:"closes"`
		Since  time.Time    `json:"since"`
	}{emptyList(closes), since})
}

// listLosses is GET /v1/losses.
func (a *api) listLosses(w http.ResponseWriter, r *http.Request) error {
	which, err := queryRecent(r)
	if err != nil {
		return err
	}
	losses, since, err := a.hub.Losses(r.Context(), which)
	if err != nil {
		return err
	}
	return writeJSON(w, struct {
		Losses []hub.Lost `json:"losses"`
		Since  time.Time  `json:"since"`
	}{emptyList(losses), since})
}

func queryRecent(r *http.Request) (which hub.Recent, err error) {
	if which.Client, err = queryUint(r, "client", 0); err != nil {
		return which, err
	}
	limit, err := queryLimit(r, defaultRecent, maxRecent)
	which.User, which.Limit = r.URL.Query().Get("user"), int(limit)
	return which, err
}

// emptyList is [] in JSON where a nil slice would be null.
func emptyList[T any](list []T) []T {
	if list == nil {
		return []T{}
	}
	return list
}
