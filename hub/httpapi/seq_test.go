package httpapi

import (
	"testing"

	"github.com/coder/websocket"

	"github.com/busbar-ws/busbar/hub"
)

// docs/protocol.md section 5, -seq given: what publishers number goes out with their numbers.
func TestGivenSeqs(t *testing.T) {
	s := start(t, func(ho *hub.Options, _ *Options) { ho.Seqs = hub.SeqGiven })
	c := s.connect(s.session("u", ""))
	const rest = `"entity":"T","row_id":"1","kind":"delete","timestamp":"1Z"}`
	var got struct{ Seq uint64 }
	if s.want(s.admin("POST", "/v1/changes", `{"seq":41,`+rest), 200, &got); got.Seq != 41 {
		t.Errorf("got %+v", got)
	}
	c.Expect(websocket.MessageText, `{"seq":41,`+rest)
	for _, seq := range []string{"41", "40", "1"} {
		e := s.wantError(s.admin("POST", "/v1/changes", `{"seq":`+seq+`,`+rest), 409, "SEQ_NOT_RISING")
		if e.LastSeq == nil || *e.LastSeq != 41 {
			t.Errorf("seq %s: %+v", seq, e)
		}
	}
	for _, seq := range []string{`"seq":0,`, `"seq":-1,`, `"seq":1.5,`, `"seq":9007199254740992,`, `"seq":"42",`, `"seq":null,`, ``} {
		if e := s.wantError(s.admin("POST", "/v1/changes", `{`+seq+rest), 400, "INVALID_FIELD"); e.Field != "seq" {
			t.Errorf("%s: %+v", seq, e)
		}
	}
	falls := "\n" + `{"seq":50,` + rest + "\n" + `{"seq":60,` + rest + "\n\n" + `{"seq":51,` + rest
	e := s.wantError(s.admin("POST", "/v1/changes", falls, "Content-Type", typeNDJSON), 409, "SEQ_NOT_RISING")
	if e.LastSeq == nil || *e.LastSeq != 41 || e.Line != 5 {
		t.Errorf("%+v", e)
	}
	batch := `{"seq":50,` + rest + "\n" + `{"seq":9007199254740991,` + rest + "\n"
	s.want(s.admin("POST", "/v1/changes", batch, "Content-Type", typeNDJSON), 200, nil)
	c.Expect(websocket.MessageText, `{"seq":50,`+rest)
	c.Expect(websocket.MessageText, `{"seq":9007199254740991,`+rest)
}

func TestSeqsAreAssignedOtherwise(t *testing.T) {
	s := start(t, nil)
	w := s.admin("POST", "/v1/changes", `{"seq":7,"entity":"T","row_id":"1","kind":"delete"}`)
	if e := s.wantError(w, 400, "INVALID_FIELD"); e.Field != "seq" {
		t.Errorf("got %+v", e)
	}
}
