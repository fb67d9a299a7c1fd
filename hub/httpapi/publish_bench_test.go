package httpapi

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/busbar-ws/busbar/eventloop"
	"github.com/busbar-ws/busbar/hub"
)

// BenchmarkPostChange is what a change takes from its request to its frame, with nobody there to get it.
func BenchmarkPostChange(b *testing.B) {
	h, err := hub.New(hub.Options{
		Auth:  hub.AuthenticatorFunc(func(context.Context, string) (*hub.Identity, error) { return &hub.Identity{Admin: true}, nil }),
		Loops: eventloop.Options{Listen: "127.0.0.1:0", Loops: 1},
	})
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = h.Shutdown(context.Background()) }()
	api := New(h, Options{})
	record := `{"id":"u_17","name":"Zoë","x":103.25,"y":88,"on":true},`
	for name, size := range map[string]int{"200B": 200, "4KiB": 4 << 10, "64KiB": 64 << 10} {
		data := "[" + strings.Repeat(record, size/len(record)) + "0]"
		change := fmt.Sprintf(`{"entity":"Todo","row_id":"t_1","kind":"update","data":%s}`, data)
		for contentType, body := range map[string]string{typeJSON: change, typeNDJSON: change + "\n" + change} {
			b.Run(name+"/"+strings.TrimPrefix(contentType, "application/"), func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					r := httptest.NewRequest(http.MethodPost, "/v1/changes", strings.NewReader(body))
					r.Header.Set("Authorization", "Bearer x")
					r.Header.Set("Content-Type", contentType)
					w := httptest.NewRecorder()
					if api.ServeHTTP(w, r); w.Code != http.StatusOK {
						b.Fatal(w.Body)
					}
				}
			})
		}
	}
}
