package httpapi

import (
	"net/http"

	"github.com/busbar-ws/busbar/hub"
)

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
	c, err := hub.DecodeChange(body)
	if err != nil {
		return err
	}
	seq, err := a.hub.PublishChange(c)
	if err != nil {
		return err
	}
	return writeJSON(w, map[string]uint64{"seq": seq})
}
