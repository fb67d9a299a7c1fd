package httpapi

import (
	"encoding/json"
	"net/http"

	"github.com/busbar-ws/busbar/hub"
)

// change is a change event as a publisher sends it. It differs from hub.Change in that
// it can tell an audience that names nobody from none.
type change struct {
	Entity    string          `json:"entity"`
	RowID     string          `json:"row_id"`
	Kind      hub.ChangeKind  `json:"kind"`
	Data      json.RawMessage `json:"data"`
	Timestamp string          `json:"timestamp"`
	OpID      string          `json:"op_id"`
	Audience  *audience       `json:"audience"`
}

type audience struct {
	Users  *[]string `json:"users"`
	Tenant *string   `json:"tenant"`
	Topic  *string   `json:"topic"`
}

// postChanges is POST /v1/changes.
func (a *api) postChanges(w http.ResponseWriter, r *http.Request) error {
	switch t, err := mediaType(r); {
	case err == nil && t == typeNDJSON:
		return a.postBatch(w, r)
	case err != nil || t != typeJSON:
		return unsupportedType(typeJSON + " or " + typeNDJSON)
	}
	body, done, err := a.readBody(w, r)
	if err != nil {
		return err
	}
	defer done()
	c, err := parseChange(body)
	if err != nil {
		return err
	}
	seq, err := a.hub.PublishChange(c)
	if err != nil {
		return err
	}
	return writeJSON(w, map[string]uint64{"seq": seq})
}

// parseChange reads one change, whose values the hub has yet to check. The result doesn't
// share memory with body.
func parseChange(body []byte) (hub.Change, error) {
	var c change
	if err := decodeStrict(body, &c); err != nil {
		return hub.Change{}, err
	}
	to, err := c.Audience.resolve()
	if err != nil {
		return hub.Change{}, err
	}
	return hub.Change{
		Entity: c.Entity, RowID: c.RowID, Kind: c.Kind, Data: c.Data,
		Timestamp: c.Timestamp, OpID: c.OpID, Audience: to,
	}, nil
}

// resolve refuses every audience that is there but names nobody: hub.Audience's zero value is
// everyone, so {"users":[]} or {"tenant":""}, meant as nobody, would tell all.
func (a *audience) resolve() (hub.Audience, error) {
	if a == nil {
		return hub.Audience{}, nil
	}
	var to hub.Audience
	named := 0
	if a.Users != nil {
		named++
		to.Users = *a.Users
		if len(to.Users) == 0 {
			return to, invalidField("audience.users", "must name at least one user")
		}
	}
	if a.Tenant != nil {
		named++
		to.Tenant = *a.Tenant
		if to.Tenant == "" {
			return to, invalidField("audience.tenant", "must be a non-empty string")
		}
	}
	if a.Topic != nil {
		named++
		to.Topic = *a.Topic
		if to.Topic == "" {
			return to, invalidField("audience.topic", "must be a non-empty string")
		}
	}
	if named != 1 {
		return to, invalidField("audience", "must have exactly one of users, tenant and topic; leave it out for everyone")
	}
	return to, nil
}
