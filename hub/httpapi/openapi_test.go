package httpapi

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"

	"github.com/busbar-ws/busbar/hub"
)

// document is openapi.yaml as a test holds answers against it: strictly. What callers are told to expect more of, an
// object's keys, is all that there may be. It is safe from any goroutine.
var document = sync.OnceValues(func() (*openapi3.T, error) {
	openapi3filter.RegisterBodyDecoder(typeNDJSON, decodeLines)
	doc, err := openapi3.NewLoader().LoadFromData(openAPI)
	if err != nil {
		return nil, err
	}
	for _, s := range doc.Components.Schemas {
		noOtherKeys(s)
	}
	for _, r := range doc.Components.Responses {
		noOtherKeysIn(r.Value.Content)
	}
	for _, item := range doc.Paths.Map() {
		for _, o := range item.Operations() {
			for _, r := range o.Responses.Map() {
				noOtherKeysIn(r.Value.Content)
			}
		}
	}
	return doc, doc.Validate(context.Background())
})

func noOtherKeysIn(c openapi3.Content) {
	for _, media := range c {
		if media.Schema != nil {
			noOtherKeys(media.Schema)
		}
	}
}

// noOtherKeys closes a schema that lists an object's keys and doesn't say whether there may be others.
func noOtherKeys(ref *openapi3.SchemaRef) {
	s := ref.Value
	if s == nil {
		return
	}
	if len(s.Properties) > 0 && s.AdditionalProperties.Has == nil && s.AdditionalProperties.Schema == nil {
		s.AdditionalProperties.Has = new(bool)
	}
	for _, p := range s.Properties {
		noOtherKeys(p)
	}
	if s.Items != nil {
		noOtherKeys(s.Items)
	}
}

// decodeLines makes a list of a body of JSON lines.
func decodeLines(body io.Reader, _ http.Header, _ *openapi3.SchemaRef, _ openapi3filter.EncodingFn) (any, error) {
	lines := []any{}
	for d := json.NewDecoder(body); ; {
		var line any
		if err := d.Decode(&line); errors.Is(err, io.EOF) {
			return lines, nil
		} else if err != nil {
			return nil, err
		}
		lines = append(lines, line)
	}
}

// isPage is whether what a pattern serves is for people.
func isPage(pattern string) bool { return pattern == "GET /{$}" || strings.HasPrefix(pattern, "/") }

// checkDocumented holds an exchange against openapi.yaml: the answer always, and the request where it was accepted.
func checkDocumented(r *http.Request, body string, w *httptest.ResponseRecorder) error {
	doc, err := document()
	if err != nil {
		return err
	}
	method, path, _ := strings.Cut(r.Pattern, " ")
	if r.Pattern == "" || isPage(r.Pattern) || r.Method == http.MethodHead {
		return nil
	}
	item := doc.Paths.Value(path)
	if item == nil || item.GetOperation(method) == nil {
		return errors.New("openapi.yaml doesn't have " + r.Pattern)
	}
	in := &openapi3filter.RequestValidationInput{
		Request: r.Clone(r.Context()), PathParams: make(map[string]string),
		Route: &routers.Route{Spec: doc, Path: path, PathItem: item, Method: method, Operation: item.GetOperation(method)},
		Options: &openapi3filter.Options{IncludeResponseStatus: true, RejectWhenRequestBodyNotSpecified: true,
			SkipSettingDefaults: true, AuthenticationFunc: hasToken},
	}
	if w.Code/100 == 2 {
		for _, name := range regexp.MustCompile(`\{(\w+)\}`).FindAllStringSubmatch(path, -1) {
			in.PathParams[name[1]] = r.PathValue(name[1])
		}
		in.Request.Body, in.Request.ContentLength = io.NopCloser(strings.NewReader(body)), int64(len(body))
		if t := r.Header.Get("Content-Type"); t == "" || t == typeForm { // see its description
			in.Request.Header.Set("Content-Type", typeJSON)
		}
		// Numbers have no bound in OpenAPI, and int64's in kin-openapi.
		if err := openapi3filter.ValidateRequest(r.Context(), in); err != nil && !errors.Is(err, strconv.ErrRange) {
			return errors.Join(errors.New("openapi.yaml forbids a request that was accepted"), err)
		}
	}
	return openapi3filter.ValidateResponse(r.Context(), &openapi3filter.ResponseValidationInput{
		RequestValidationInput: in, Status: w.Code, Header: w.Header(), Options: in.Options,
		Body: io.NopCloser(bytes.NewReader(w.Body.Bytes())),
	})
}

// hasToken is whether a request brings what a call needs that isn't for everybody.
func hasToken(_ context.Context, in *openapi3filter.AuthenticationInput) error {
	if bearer(in.RequestValidationInput.Request) == "" {
		return errors.New("no token")
	}
	return nil
}

// describedCall is a call as openapi.yaml has it, with names put into its path.
type describedCall struct {
	method, target string
	open           bool // for everybody, or for clients too
	body           bool // it takes one
	parameters     bool // a query that isn't known is an error
}

// describedCalls are all, the pages left out. So what is true of each call holds for those that are added.
func describedCalls(t *testing.T) (calls []describedCall) {
	t.Helper()
	doc, err := document()
	if err != nil {
		t.Fatal(err)
	}
	names := regexp.MustCompile(`\{\w+\}`)
	for path, item := range doc.Paths.Map() {
		for method, o := range item.Operations() {
			calls = append(calls, describedCall{
				method: method, target: names.ReplaceAllString(path, "1"), open: o.Security != nil, body: o.RequestBody != nil,
				parameters: strings.HasPrefix(path, "/v1/") || strings.HasPrefix(path, "/api/") && path != "/api/sync/ws",
			})
		}
	}
	return calls
}

// everything lets an API have each call.
func everything(_ *hub.Options, o *Options) {
	o.LogLevel = new(slog.LevelVar)
	o.Reload = func() (Reloaded, error) { return Reloaded{}, nil }
	o.Profiles = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "a profile") })
}

var registered = regexp.MustCompile(`(?:call|callWithBody|anyQuery|mux\.Handle)\("([^"]+)", [^\n]*?((?:, "[^"]+")*)\)\n`)

// openapi.yaml has every call with its parameters, and no other; so a call that is added fails this test until it is
// described.
func TestOpenAPIHasEveryCall(t *testing.T) {
	doc, err := document()
	if err != nil {
		t.Fatal(err)
	}
	described := make(map[string][]string)
	for path, item := range doc.Paths.Map() {
		for method, o := range item.Operations() {
			names := []string{}
			for _, p := range o.Parameters {
				if p.Value.In == openapi3.ParameterInQuery {
					names = append(names, p.Value.Name)
				}
			}
			slices.Sort(names)
			described[method+" "+path] = names
		}
	}
	files, _ := filepath.Glob("*.go")
	calls := make(map[string]bool)
	for _, file := range files {
		source, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range registered.FindAllStringSubmatch(string(source), -1) {
			if isPage(c[1]) || strings.HasSuffix(file, "_test.go") {
				continue
			}
			calls[c[1]] = true
			names := []string{}
			for _, name := range regexp.MustCompile(`"(.+?)"`).FindAllStringSubmatch(c[2], -1) {
				names = append(names, name[1])
			}
			slices.Sort(names)
			if there, ok := described[c[1]]; !ok {
				t.Errorf("openapi.yaml doesn't have %s", c[1])
			} else if !slices.Equal(there, names) {
				t.Errorf("%s takes %q, and openapi.yaml says %q", c[1], names, there)
			}
		}
	}
	if len(calls) < 20 {
		t.Fatalf("%d calls are found", len(calls))
	}
	for _, d := range slices.Sorted(maps.Keys(described)) {
		if !calls[d] {
			t.Errorf("openapi.yaml has %s, which there isn't", d)
		}
	}
}

// What is refused as undocumented: tests that hold every answer against openapi.yaml could hide that they hold nothing.
func TestCheckDocumented(t *testing.T) {
	for _, c := range []struct {
		pattern, body, answer string
		status                int
		documented            bool
	}{
		{"GET /healthz", "", `{"status":"ok"}`, 200, true},
		{"GET /healthz", "", `{"status":"fine"}`, 200, false},
		{"GET /healthz", "", `{"status":"ok","more":1}`, 200, false},
		{"GET /healthz", "", `{"status":"ok"}`, 201, false},
		{"GET /healthz", "", `{"error":{"code":"NEW","message":"m"}}`, 400, false},
		{"GET /healthz", "", `{"error":{"code":"BUSY","message":"m"}}`, 400, true},
		{"GET /elsewhere", "", `{}`, 200, false},
		{"POST /v1/changes", `{"entity":"T","row_id":"1","kind":"insert"}`, `{"seq":1}`, 200, true},
		{"POST /v1/changes", `{"entity":"T","row_id":"1","kind":"upsert"}`, `{"seq":1}`, 200, false},
		{"POST /v1/changes", `{"entity":"T","row_id":"1","kind":"insert"}`, `{"seq":"1"}`, 200, false},
		{"POST /v1/changes", "", `{"seq":1}`, 200, false},
	} {
		r := httptest.NewRequest(strings.Fields(c.pattern)[0], strings.Fields(c.pattern)[1], nil)
		r.Pattern = c.pattern
		r.Header.Set("Authorization", "Bearer t")
		w := httptest.NewRecorder()
		w.Header().Set("Content-Type", typeJSON)
		w.WriteHeader(c.status)
		_, _ = w.WriteString(c.answer)
		if err := checkDocumented(r, c.body, w); (err == nil) != c.documented {
			t.Errorf("%s %s: %d %s: %v", c.pattern, c.body, c.status, c.answer, err)
		}
	}
}
