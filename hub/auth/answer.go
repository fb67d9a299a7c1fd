package auth

import (
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/busbar-ws/busbar/hub"
	"github.com/busbar-ws/busbar/internal/strictjson"
)

// answer is what a service says of a token that it knows (HTTPOptions.URL).
type answer struct {
	UserID    name    `json:"user_id"`
	TenantID  name    `json:"tenant_id"`
	IsAdmin   bool    `json:"is_admin"`
	ExpiresAt seconds `json:"expires_at"`
}

var errBadAnswer = errors.New("the answer can't be used")

// readAnswer reads an answer. Errors say which field is wrong and quote nothing of it.
func readAnswer(body []byte) (*hub.Identity, error) {
	var a answer
	if err := strictjson.Unmarshal(body, &a); err != nil {
		return nil, err
	}
	if a.UserID == "" && !a.IsAdmin {
		return nil, errors.New("user_id: missing or empty")
	}
	if !validName(string(a.UserID)) || !validName(string(a.TenantID)) {
		return nil, fmt.Errorf("user_id or tenant_id: over %d bytes", maxName)
	}
	return &hub.Identity{
		UserID: string(a.UserID), Tenant: string(a.TenantID), Admin: a.IsAdmin, Expires: expiry(int64(a.ExpiresAt)),
	}, nil
}

// name is a string, or an integer as it is written: a float64 would make one of two users whose
// ids are above 2^53. null is none.
type name string

var integer = regexp.MustCompile(`^-?[0-9]+$`)

// UnmarshalJSONFrom is for package json.
func (n *name) UnmarshalJSONFrom(d *jsontext.Decoder) error {
	switch d.PeekKind() {
	case '"':
		return json.UnmarshalDecode(d, (*string)(n))
	case 'n':
		*n = ""
		return d.SkipValue()
	}
	value, err := d.ReadValue()
	if err == nil && !integer.Match(value) {
		err = strictjson.Expected("a string or an integer")
	}
	*n = name(value)
	return err
}

// seconds is a whole number. It may be in quotes, and have zeros behind a point, because some
// languages write integers so. A fraction isn't cut off: of 0.5 it would leave 0, which is never.
type seconds int64

var wholeNumber = regexp.MustCompile(`^-?[0-9]+(\.0+)?$`)

// UnmarshalJSONFrom is for package json.
func (s *seconds) UnmarshalJSONFrom(d *jsontext.Decoder) error {
	value, err := d.ReadValue()
	if err != nil {
		return err
	}
	text := string(value)
	if value.Kind() == '"' {
		text = text[1 : len(text)-1]
	}
	whole, _, _ := strings.Cut(text, ".")
	n, err := strconv.ParseInt(whole, 10, 64)
	if err != nil || !wholeNumber.MatchString(text) {
		return strictjson.Expected("a whole number of seconds")
	}
	*s = seconds(n)
	return nil
}
