package httpapi

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// withParameters is h for requests whose query has parameters of these names alone, each at most once
// and with a value: a cursor or a tenant that is misspelled must not pass for none.
func withParameters(h http.Handler, known ...string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if f := checkQuery(r.URL.RawQuery, known); f != nil {
			writeFailure(w, f)
			return
		}
		h.ServeHTTP(w, r)
	})
}

func checkQuery(raw string, known []string) *failure {
	parameters, err := url.ParseQuery(raw) // which takes neither "%zz" nor a semicolon
	if err != nil {
		return invalidField("query", "is malformed: write name=value, with an ampersand between, and %XX for what isn't a letter or digit")
	}
	for name, values := range parameters {
		switch {
		case !slices.Contains(known, name):
			there := "this call has none"
			if len(known) > 0 {
				there = "known here: " + strings.Join(known, ", ")
			}
			return invalidField("query", fmt.Sprintf("the parameter %.64q isn't known; %s", name, there))
		case len(values) > 1:
			return invalidField(name, "is there more than once")
		case values[0] == "":
			return invalidField(name, "is empty: leave it out, or give it a value")
		case !utf8.ValidString(values[0]):
			return invalidField(name, "is not valid UTF-8")
		}
	}
	return nil
}

// queryUint is a whole number from a query that was checked, or missing when it isn't there.
func queryUint(r *http.Request, name string, missing uint64) (uint64, error) {
	text := r.URL.Query().Get(name)
	if text == "" {
		return missing, nil
	}
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		return 0, invalidField(name, "must be a whole number that isn't negative")
	}
	return n, nil
}

// queryLimit is the parameter limit; above the most it is the most, however many digits it has.
func queryLimit(r *http.Request, missing, most uint64) (uint64, error) {
	text := r.URL.Query().Get("limit")
	if _, err := strconv.ParseUint(text, 10, 64); errors.Is(err, strconv.ErrRange) && strings.Trim(text, "0123456789") == "" {
		return most, nil
	}
	n, err := queryUint(r, "limit", missing)
	return min(n, most), err
}
