package httpapi

import (
	"net/http"
	"unicode/utf8"

	"github.com/busbar-ws/busbar/hub"
)

// postPresence is POST /v1/presence.
func (a *api) postPresence(w http.ResponseWriter, r *http.Request) error {
	body, done, err := a.readJSON(w, r)
	if err != nil {
		return err
	}
	defer done()
	if err := a.hub.PublishPresence(r.URL.Query().Get("tenant"), body); err != nil {
		return err
	}
	return noContent(w)
}

// postTopic is POST /v1/topics/{topic}.
func (a *api) postTopic(w http.ResponseWriter, r *http.Request) error {
	topic, err := pathText(r, "topic")
	if err != nil {
		return err
	}
	body, done, err := a.readJSON(w, r)
	if err != nil {
		return err
	}
	defer done()
	if err := a.hub.PublishTopic(r.URL.Query().Get("tenant"), topic, body); err != nil {
		return err
	}
	return noContent(w)
}

// putRow is PUT /v1/rows/{entity}/{row}.
func (a *api) putRow(w http.ResponseWriter, r *http.Request) error {
	entity, err := pathText(r, "entity")
	if err != nil {
		return err
	}
	row, err := pathText(r, "row")
	if err != nil {
		return err
	}
	query := r.URL.Query()
	kind := hub.Snapshot
	switch update := query.Get("update"); {
	case !query.Has("update"), update == "0":
	case update == "1":
		kind = hub.Incremental
	default:
		return invalidField("update", "must be 0 or 1")
	}
	body, done, err := a.readBody(w, r)
	if err != nil {
		return err
	}
	defer done()
	if err := a.hub.PublishRow(kind, query.Get("tenant"), entity, row, body); err != nil {
		return err
	}
	return noContent(w)
}

// postBroadcast is POST /v1/broadcast.
func (a *api) postBroadcast(w http.ResponseWriter, r *http.Request) error {
	body, done, err := a.readBody(w, r)
	if err != nil {
		return err
	}
	defer done()
	if err := a.hub.BroadcastBinary(body); err != nil {
		return err
	}
	return noContent(w)
}

// pathText is a decoded path segment. Percent-encoding can say any bytes; names go into
// JSON and into frames that promise UTF-8.
func pathText(r *http.Request, name string) (string, error) {
	text := r.PathValue(name)
	if !utf8.ValidString(text) {
		return "", invalidField(name, "is not valid UTF-8")
	}
	return text, nil
}

func noContent(w http.ResponseWriter) error {
	w.WriteHeader(http.StatusNoContent)
	return nil
}
