package hub

import (
	"fmt"
	"math"
)

// Limits of a Change, besides Options.MaxMessageOut.
const (
	maxOpIDBytes     = 256
	maxAudienceUsers = 10_000
)

// longestTimestamp stands in for the one that the hub fills in where there is none.
const longestTimestamp = "-9223372036854775808Z"

// validateChange checks what a publisher gave, and drops the data of a delete. Errors are
// a *FieldError that names the field as in docs/protocol.md section 5, or wrap ErrTooLarge when the
// encoded event may be over maxOut bytes.
func validateChange(c *Change, maxOut int) error {
	if err := requireName("entity", c.Entity); err != nil {
		return err
	}
	if err := requireName("row_id", c.RowID); err != nil {
		return err
	}
	switch c.Kind {
	case Insert, Update:
	case Delete:
		c.Data = nil // a row that is gone has none (docs/protocol.md section 3)
	default:
		return &FieldError{Field: "kind", Message: "must be insert, update or delete"}
	}
	if len(c.OpID) > maxOpIDBytes {
		return &FieldError{Field: "op_id", Message: fmt.Sprintf("%d bytes, at most %d are allowed", len(c.OpID), maxOpIDBytes)}
	}
	if err := validateAudience(&c.Audience); err != nil {
		return err
	}
	if err := checkSize(c, maxOut); err != nil {
		return err
	}
	if c.isChecked() {
		return nil
	}
	return checkData(c.Data)
}

func requireName(field, name string) error {
	if name == "" {
		return &FieldError{Field: field, Message: "missing or empty"}
	}
	return checkName(field, name)
}

// checkSize measures the event as it will be encoded, with the longest seq.
func checkSize(c *Change, maxOut int) error {
	e := Event{Seq: math.MaxUint64, Entity: c.Entity, RowID: c.RowID, Kind: c.Kind, Data: c.Data, Timestamp: c.Timestamp}
	if e.Timestamp == "" {
		e.Timestamp = longestTimestamp
	}
	if size := eventSize(&e); size > maxOut {
		return &SizeError{size, maxOut}
	}
	return nil
}

// validateAudience refuses an empty list of users rather than take it for everyone: it is
// what a publisher computes when nobody may see the event.
func validateAudience(a *Audience) error {
	named := 0
	for _, set := range []bool{a.Users != nil, a.Tenant != "", a.Topic != ""} {
		if set {
			named++
		}
	}
	if named > 1 {
		return &FieldError{Field: "audience", Message: "at most one of users, tenant and topic can be given"}
	}
	if a.Users != nil && len(a.Users) == 0 {
		return &FieldError{Field: "audience.users", Message: "names nobody; leave it out for everyone"}
	}
	if len(a.Users) > maxAudienceUsers {
		return &FieldError{Field: "audience.users", Message: fmt.Sprintf("%d users, at most %d are allowed", len(a.Users), maxAudienceUsers)}
	}
	for _, user := range a.Users {
		if err := requireName("audience.users", user); err != nil {
			return err
		}
	}
	if err := checkName("audience.tenant", a.Tenant); err != nil {
		return err
	}
	return checkName("audience.topic", a.Topic)
}
