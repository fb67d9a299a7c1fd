package hub

import (
	"cmp"
	"errors"

	"github.com/busbar-ws/busbar/internal/strictjson"
)

// DecodeChange reads a change as POST /v1/changes takes it (docs/protocol.md section 5), and checks it as JSON.
// PublishChange checks its values, and doesn't go through Data again. Data is a part of text. What is wrong is a *FieldError.
func DecodeChange(text []byte) (Change, error) {
	c, err := decodeChange(text)
	var wrong *strictjson.Error
	if errors.As(err, &wrong) {
		err = &FieldError{Field: cmp.Or(wrong.Field, "body"), Message: wrong.Message, cause: wrong}
	}
	return c, err
}

func decodeChange(text []byte) (Change, error) {
	var c Change
	members := strictjson.Object(text)
	for m, more := members.Next(); more; m, more = members.Next() {
		var err error
		switch string(m.Key()) {
		case "entity":
			c.Entity, err = m.Text()
		case "row_id":
			c.RowID, err = m.Text()
		case "kind":
			var kind string
			kind, err = m.Text()
			c.Kind = ChangeKind(kind)
		case "data":
			c.Data = m.Value
			c.checked = c.Data
		case "timestamp":
			c.Timestamp, err = m.Text()
		case "op_id":
			c.OpID, err = m.Text()
		case "seq":
			if err = m.Unmarshal(&c.Seq); err == nil && c.Seq == 0 {
				err = m.Wrong("must be at least 1")
			}
		case "audience":
			c.Audience, err = decodeAudience(m)
		default:
			err = m.Unknown()
		}
		if err != nil {
			return Change{}, err
		}
	}
	return c, members.Err()
}

// decodeAudience refuses every audience that is there but names nobody: Audience's zero value is
// everyone, so {"users":[]} or {"tenant":""}, meant as nobody, would tell all.
func decodeAudience(m strictjson.Member) (to Audience, err error) {
	var a struct {
		Users  *[]string `json:"users"`
		Tenant *string   `json:"tenant"`
		Topic  *string   `json:"topic"`
	}
	if err := m.Unmarshal(&a); err != nil {
		return to, err
	}
	named := 0
	if a.Users != nil {
		named++
		to.Users = *a.Users
		if len(to.Users) == 0 {
			return to, &FieldError{Field: "audience.users", Message: "must name at least one user"}
		}
	}
	if a.Tenant != nil {
		named++
		to.Tenant = *a.Tenant
		if to.Tenant == "" {
			return to, &FieldError{Field: "audience.tenant", Message: "must be a non-empty string"}
		}
	}
	if a.Topic != nil {
		named++
		to.Topic = *a.Topic
		if to.Topic == "" {
			return to, &FieldError{Field: "audience.topic", Message: "must be a non-empty string"}
		}
	}
	if named != 1 {
		return to, &FieldError{Field: "audience", Message: "must have exactly one of users, tenant and topic; leave it out for everyone"}
	}
	return to, nil
}

// isChecked is whether Data is what DecodeChange has checked.
func (c *Change) isChecked() bool {
	return len(c.checked) > 0 && len(c.checked) == len(c.Data) && &c.checked[0] == &c.Data[0]
}
