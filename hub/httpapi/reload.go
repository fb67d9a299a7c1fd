package httpapi

import "net/http"

// Reloaded says what reading the configuration again has changed, by the names of flags. Nil lists are empty.
type Reloaded struct {
	Changed []string `json:"changed"` // have another value now
	Files   []string `json:"files"`   // name files that hold something else now
	Restart []string `json:"restart"` // have another value in the configuration, which takes a restart
}

// reload is POST /v1/reload. It takes no body: the configuration is the server's own file. That file may hang, as on a
// network's file system: calls that waited for it would take the places of all other calls of admins.
func (a *api) reload(w http.ResponseWriter, _ *http.Request) error {
	if !a.reloading.TryLock() {
		return a.refuse(w, busy("the configuration is being read already, try again"))
	}
	defer a.reloading.Unlock()
	done, err := a.Reload()
	if err != nil {
		return newFailure(http.StatusBadRequest, "BAD_CONFIG", "nothing was changed: "+err.Error())
	}
	for _, list := range []*[]string{&done.Changed, &done.Files, &done.Restart} {
		if *list == nil {
			*list = []string{}
		}
	}
	return writeJSON(w, done)
}
