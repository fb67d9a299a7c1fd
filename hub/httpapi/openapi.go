package httpapi

import (
	_ "embed"
	"net/http"
)

// openAPI describes all calls. A test holds it against the table of calls, and every other test's requests and answers
// against it.
//
//go:embed openapi.yaml
var openAPI []byte

func (a *api) openAPI(w http.ResponseWriter, _ *http.Request) error {
	w.Header().Set("Content-Type", "application/yaml") // RFC 9512
	w.Header().Set("X-Content-Type-Options", "nosniff")
	_, _ = w.Write(openAPI)
	return nil
}
