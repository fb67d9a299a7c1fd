package dashboard

import (
	"crypto/sha256"
	"encoding/hex"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/busbar-ws/busbar/internal/webpage/webpagetest"
)

func TestAnswers(t *testing.T) {
	for _, tt := range []struct {
		method, target string
		status         int
	}{
		{http.MethodGet, "/", http.StatusOK},
		{http.MethodHead, "/", http.StatusOK},
		{http.MethodPost, "/", http.StatusMethodNotAllowed},
		{http.MethodGet, "/dashboard/main.js", http.StatusOK},
		{http.MethodGet, "/dashboard/theme.css", http.StatusOK},
		{http.MethodGet, "/dashboard/", http.StatusNotFound},
		{http.MethodGet, "/dashboard/..%2fdashboard.go", http.StatusNotFound},
		{http.MethodGet, "/other", http.StatusNotFound},
	} {
		w := httptest.NewRecorder()
		Handler().ServeHTTP(w, httptest.NewRequest(tt.method, tt.target, nil))
		if w.Code != tt.status {
			t.Errorf("%s %s: %d, want %d", tt.method, tt.target, w.Code, tt.status)
		}
	}
}

func TestPage(t *testing.T) {
	const library, style = "uPlot.iife.min.js", "uPlot.min.css"
	webpagetest.EveryPartIsUsed(t, page(), Handler(), "/", "uPlot-LICENSE.txt")
	webpagetest.SelfContained(t, page(), library, "uPlot-LICENSE.txt")
	webpagetest.Scripts(t, page().Parts)

	// uPlot's licence says where they are from.
	for name, want := range map[string]string{
		library: "19c8d4c6ad88929a79f4ae49d6f7161566dfd0ba3d15cc495e974f787eb78f1f",
		style:   "df630c6a8d6f8eeaff264b50f73ce5b114f646ffd9a0bb74f049b0a00135fa04",
	} {
		text, err := fs.ReadFile(page().Parts, name)
		if sum := sha256.Sum256(text); err != nil || hex.EncodeToString(sum[:]) != want {
			t.Errorf("%s isn't what was published: %x, %v", name, sum, err)
		}
	}
}
