package httpapi

import (
	"net/http"
	"strconv"

	"github.com/busbar-ws/busbar/hub"
)

const (
	defaultClients = 100
	maxClients     = 1000
)

// clientPage is one page of connections. Next is the "after" of the following page, and
// null on the last.
type clientPage struct {
	Clients []hub.ClientInfo `json:"clients"`
	Next    *uint64          `json:"next"`
}

// listClients is GET /v1/clients.
func (a *api) listClients(w http.ResponseWriter, r *http.Request) error {
	after, err := queryUint(r, "after", 0)
	if err != nil {
		return err
	}
	asked, err := queryLimit(r, defaultClients, maxClients)
	if err != nil {
		return err
	}
	limit := int(max(asked, 1))
	found, err := a.hub.Clients(r.Context(), after, limit+1) // one more tells whether a page follows
	if err != nil {
		return err
	}
	page := clientPage{Clients: emptyList(found)}
	if len(found) > limit {
		page.Clients = found[:limit]
		page.Next = &found[limit-1].ID
	}
	return writeJSON(w, page)
}

// disconnectClient is DELETE /v1/clients/{id}.
func (a *api) disconnectClient(w http.ResponseWriter, r *http.Request) error {
	id, err := strconv.ParseUint(r.PathValue("id"), 10, 64)
	if err != nil {
		return invalidField("id", "must be a client's number")
	}
	auditTarget(w, "client", id)
	found, err := a.hub.Disconnect(r.Context(), id)
	if err != nil {
		return err
	}
	if !found {
		return newFailure(http.StatusNotFound, "NOT_FOUND", "there is no such client")
	}
	return noContent(w)
}

// disconnectUser is DELETE /v1/users/{user}/clients.
func (a *api) disconnectUser(w http.ResponseWriter, r *http.Request) error {
	user, err := pathText(r, "user")
	if err != nil {
		return err
	}
	tenant := r.URL.Query().Get("tenant")
	auditTarget(w, "user", user, "tenant", tenant)
	if err := a.hub.DisconnectUser(r.Context(), tenant, user); err != nil {
		return err
	}
	return noContent(w)
}

// endRowSubscriptions is DELETE /v1/rows/{entity}/{row}/subscribers/{user}.
func (a *api) endRowSubscriptions(w http.ResponseWriter, r *http.Request) error {
	var names [3]string
	for i, name := range []string{"entity", "row", "user"} {
		var err error
		if names[i], err = pathText(r, name); err != nil {
			return err
		}
	}
	tenant := r.URL.Query().Get("tenant")
	auditTarget(w, "entity", names[0], "row", names[1], "user", names[2], "tenant", tenant)
	if err := a.hub.EndRowSubscriptions(r.Context(), tenant, names[0], names[1], names[2]); err != nil {
		return err
	}
	return noContent(w)
}
