package httpapi

import (
	"errors"
	"net/http"

	"github.com/busbar-ws/busbar/hub"
)

// why is GET /v1/why.
func (a *api) why(w http.ResponseWriter, r *http.Request) error {
	var numbers [2]uint64
	for i, name := range []string{"client", "seq"} {
		if r.URL.Query().Get(name) == "" {
			return invalidField(name, "is required")
		}
		var err error
		if numbers[i], err = queryUint(r, name, 0); err != nil {
			return err
		}
	}
	answer, err := a.hub.Why(r.Context(), numbers[0], numbers[1])
	var other *hub.OtherNodeError
	switch {
	case errors.Is(err, hub.ErrNoSuchClient):
		return newFailure(http.StatusNotFound, "NOT_FOUND", err.Error())
	case errors.As(err, &other):
		return newFailure(http.StatusConflict, "OTHER_NODE", err.Error())
	case err != nil:
		return err
	}
	return writeJSON(w, answer)
}
