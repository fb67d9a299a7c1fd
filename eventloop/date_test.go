package eventloop

import (
	"net/http"
	"testing"
	"time"

	"github.com/gobwas/ws"

	"github.com/busbar-ws/busbar/internal/wstest"
	"github.com/busbar-ws/busbar/wsproto"
)

// RFC 9110 6.6.1: every answer has the date: 101, those to plain HTTP, and refusals.
func TestAnswersHaveADate(t *testing.T) {
	t.Parallel()
	refusing := func(c *Client, r *wsproto.Request) {
		switch r.Path {
		case "/refused":
			c.Refuse(wsproto.RefuseUnauthorized)
		case "/closed":
			c.AcceptAndClose(r.Answer, ws.StatusPolicyViolation, "no")
		default:
			c.Accept(Acceptance{Answer: r.Answer})
		}
	}
	e := start(t, &host{onUpgrade: refusing})
	for _, c := range []struct {
		request string
		status  int
	}{
		{wstest.Request("/"), 101}, {wstest.Request("/closed"), 101}, {wstest.Request("/refused"), 401},
		{"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n", 200}, {"HEAD /healthz HTTP/1.1\r\nHost: a\r\n\r\n", 200},
		{"GET / HTTP/1.1\r\nHost: a\r\n\r\n", 426}, {"GET / HTTP/1.1\n", 400},
	} {
		p := connect(t, e)
		p.Say(c.request)
		answer, err := http.ReadResponse(p.R, nil)
		must(t, err)
		answer.Body.Close()
		date, err := http.ParseTime(answer.Header.Get("Date"))
		if answer.StatusCode != c.status || err != nil || time.Since(date).Abs() > patience || len(answer.Header["Date"]) != 1 {
			t.Errorf("%.30q: %s with Date %q (%v), want %d", c.request, answer.Status, answer.Header["Date"], err, c.status)
		}
	}
}
