package auth

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/busbar-ws/busbar/hub"
)

func TestAnswersThatAreTaken(t *testing.T) {
	for body, want := range map[string]hub.Identity{
		`{"user_id":"u","tenant_id":"t","is_admin":true,"expires_at":5}`: {UserID: "u", Tenant: "t", Admin: true, Expires: time.Unix(5, 0)},
		`{"user_id":9007199254740993}`:                                   {UserID: "9007199254740993"},
		`{"user_id":123456789012345678901234567890}`:                     {UserID: "123456789012345678901234567890"},
		`{"user_id":-7,"tenant_id":7}`:                                   {UserID: "-7", Tenant: "7"},
		`{"user_id":"5.0"}`:                                              {UserID: "5.0"},
		`{"user_id":"u","tenant_id":null}`:                               {UserID: "u"},
		`{"user_id":"u","tenant_id":""}`:                                 {UserID: "u"},
		`{"user_id":null,"is_admin":true}`:                               {Admin: true},
		`{"user_id":"u","expires_at":5.0}`:                               {UserID: "u", Expires: time.Unix(5, 0)},
		`{"user_id":"u","expires_at":"5"}`:                               {UserID: "u", Expires: time.Unix(5, 0)},
		`{"user_id":"u","expires_at":"5.00"}`:                            {UserID: "u", Expires: time.Unix(5, 0)},
		`{"user_id":"u","expires_at":9007199254740993}`:                  {UserID: "u", Expires: time.Unix(9007199254740993, 0)},
		`{"user_id":"u","expires_at":-1}`:                                {UserID: "u", Expires: time.Unix(-1, 0)},
		`{"user_id":"u","expires_at":0}`:                                 {UserID: "u"},
		`{"user_id":"u","Is_Admin":true,"IS_ADMIN":true}`:                {UserID: "u"},
		`{"user_id":"u","User_ID":"v","Tenant_ID":"t"}`:                  {UserID: "u"},
		`{"user_id":"u","more":[{"is_admin":true}]}`:                     {UserID: "u"},
		"\t{\"user_id\":\"u\"}\r\n":                                      {UserID: "u"},
	} {
		got, err := readAnswer([]byte(body))
		if err != nil || !sameIdentity(got, &want) {
			t.Errorf("%s: got %+v, %v", body, got, err)
		}
	}
}

// What can't be used lets nobody in, and the error says which field is wrong.
func TestAnswersThatAreNotTaken(t *testing.T) {
	for body, field := range map[string]string{
		`{}`:                   "user_id",
		`{"user_id":null}`:     "user_id",
		`{"user_id":""}`:       "user_id",
		`{"USER_ID":"u"}`:      "user_id",
		`{"user_id":5.0}`:      "user_id",
		`{"user_id":1e3}`:      "user_id",
		`{"user_id":true}`:     "user_id",
		`{"user_id":["u"]}`:    "user_id",
		`{"user_id":{}}`:       "user_id",
		`{"user_id":"\ud83d"}`: "user_id",
		`{"user_id":"` + strings.Repeat("u", maxName+1) + `"}`: "user_id",
		`{"user_id":"u","user_id":"v"}`:                        "user_id",
		`{"user_id":"u","\u0075ser_id":"v"}`:                   "user_id",
		`{"user_id":"u","tenant_id":false}`:                    "tenant_id",
		`{"user_id":"u","tenant_id":[]}`:                       "tenant_id",
		`{"user_id":"u","tenant_id":"t","tenant_id":null}`:     "tenant_id",
		`{"user_id":"u","is_admin":null}`:                      "is_admin",
		`{"user_id":"u","is_admin":1}`:                         "is_admin",
		`{"user_id":"u","is_admin":"true"}`:                    "is_admin",
		`{"user_id":"u","is_admin":false,"is_admin":true}`:     "is_admin",
		`{"user_id":"u","expires_at":null}`:                    "expires_at",
		`{"user_id":"u","expires_at":""}`:                      "expires_at",
		`{"user_id":"u","expires_at":0.5}`:                     "expires_at",
		`{"user_id":"u","expires_at":5.5}`:                     "expires_at",
		`{"user_id":"u","expires_at":5e0}`:                     "expires_at",
		`{"user_id":"u","expires_at":"+5"}`:                    "expires_at",
		`{"user_id":"u","expires_at":" 5"}`:                    "expires_at",
		`{"user_id":"u","expires_at":"2030-01-01T00:00:00Z"}`:  "expires_at",
		`{"user_id":"u","expires_at":9223372036854775808}`:     "expires_at",
		`{"user_id":"u","expires_at":[]}`:                      "expires_at",
		`{"user_id":"u","expires_at":5,"expires_at":0}`:        "expires_at",
		`{"user_id":"u","more":{"a":1,"a":2}}`:                 "more.a",
		`{"user_id":"u"}{}`:                                    "at byte 15",
		"{\"user_id\":\"\xff\"}":                               "at byte 12",
		`null`:                                                 "at byte 0",
		`["u"]`:                                                "at byte 0",
		``:                                                     "at byte 0",
	} {
		id, err := readAnswer([]byte(body))
		if err == nil || !strings.Contains(err.Error(), field) {
			t.Errorf("%.80s: got %+v, %v, want an error about %s", body, id, err, field)
		}
	}
}

// kept is a value in the bucket of several nodes' sessions.
type kept struct {
	jetstream.KeyValueEntry
	value string
}

func (kept) Key() string     { return "0123456789abcdef0123" }
func (k kept) Value() []byte { return []byte(k.value) }

// A session that other nodes have stored, or another program, is read in one way too, and so is one in a list.
func TestSessionsThatAreKept(t *testing.T) {
	const whole = `{"id":"0123456789abcdef","user_id":"u","tenant_id":"t","device":"d","created_at":1,"expires_at":2}`
	want := Session{ID: "0123456789abcdef", UserID: "u", Tenant: "t", Device: "d", Created: time.Unix(1, 0), Expires: time.Unix(2, 0)}
	for text, taken := range map[string]bool{
		whole: true, `{"new":1,` + whole[1:]: true,
		strings.Replace(whole, "user_id", "User_ID", 1): false, `{"USER_ID":"admin","EXPIRES_AT":0,` + whole[1:]: true,
		`{"user_id":"v",` + whole[1:]: false, strings.Replace(whole, ":2}", ":2,\"expires_at\":0}", 1): false,
		strings.Replace(whole, ":2}", ":null}", 1): false, strings.Replace(whole, `"u"`, "\"u\xff\"", 1): false, whole + whole: false,
	} {
		stored, err := listedOf(kept{value: text})
		if (err == nil && stored.Session == want) != taken {
			t.Errorf("stored %s: %+v, %v", text, stored, err)
		}
		var listed Session
		if err := json.Unmarshal([]byte(text), &listed); (err == nil && listed == want) != taken {
			t.Errorf("listed %s: %+v, %v", text, listed, err)
		}
	}
	var listed Session
	if err := json.Unmarshal([]byte(`{"id":"x","user_id":"u","tenant_id":null,"device":null,"created_at":1,"expires_at":0}`), &listed); err != nil ||
		listed != (Session{ID: "x", UserID: "u", Created: time.Unix(1, 0)}) {
		t.Errorf("without what may be absent: %+v, %v", listed, err)
	}
}
