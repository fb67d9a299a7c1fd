package eventloop

import (
	"net/http"
	"time"
)

// httpDate is the Date of a loop's answers (RFC 9110 6.6.1), formatted once a second. It is owned by
// its loop; the zero value is ready.
type httpDate struct {
	second int64 // that text is of, in Unix time
	text   []byte
}

// at is the date in the form of RFC 9110 5.6.7. It is valid until the next call.
func (d *httpDate) at(now time.Time) []byte {
	if second := now.Unix(); second != d.second {
		d.second, d.text = second, now.UTC().AppendFormat(d.text[:0], http.TimeFormat)
	}
	return d.text
}
