package hub

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"go.yaml.in/yaml/v4"
)

// asyncAPI is what docs/asyncapi.yaml says that clients get as text. It is safe from any goroutine.
type asyncAPI struct {
	schemas map[string]*jsonschema.Schema // by message
	mu      sync.Mutex
	seen    map[string]bool
}

// relayed are messages with keys of their sender's own.
var relayed = []string{"Presence", "Topic"}

// readAsyncAPI has messages of the server with keys that aren't described match nothing.
func readAsyncAPI(t *testing.T) *asyncAPI {
	t.Helper()
	const file = "../docs/asyncapi.yaml"
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var doc map[string]any
	if err := yaml.Unmarshal(text, &doc); err != nil {
		t.Fatal(err)
	}
	at := func(v any, path string) any {
		for key := range strings.SplitSeq(strings.TrimPrefix(path, "#/"), "/") {
			m, _ := v.(map[string]any)
			v = m[key]
		}
		return v
	}
	for name, schema := range at(doc, "components/schemas").(map[string]any) {
		if s := schema.(map[string]any); s["type"] == "object" && !slices.Contains(relayed, name) {
			s["additionalProperties"] = false
		}
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource(file, doc); err != nil {
		t.Fatal(err)
	}
	a := &asyncAPI{schemas: make(map[string]*jsonschema.Schema), seen: make(map[string]bool)}
	for _, ref := range at(doc, "operations/toClient/messages").([]any) {
		message := at(doc, at(ref, "$ref").(string))
		message = at(doc, at(message, "$ref").(string))
		payload, ok := at(message, "payload/$ref").(string)
		if !ok {
			continue // binary
		}
		if a.schemas[payload], err = c.Compile(file + payload); err != nil {
			t.Fatal(err)
		}
	}
	if len(a.schemas) < 5 {
		t.Fatalf("%s describes %d messages", file, len(a.schemas))
	}
	return a
}

// check is nil for a text that is one of the messages, and of one kind.
func (a *asyncAPI) check(text string) error {
	v, err := jsonschema.UnmarshalJSON(strings.NewReader(text))
	if err != nil {
		return err
	}
	var kinds, failures []string
	for name, s := range a.schemas {
		if err := s.Validate(v); err == nil {
			kinds = append(kinds, name)
		} else {
			failures = append(failures, err.Error())
		}
	}
	if len(kinds) != 1 {
		return fmt.Errorf("docs/asyncapi.yaml has %d kinds %v of %s\n%s", len(kinds), kinds, text, strings.Join(failures, "\n"))
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.seen[kinds[0]] = true
	return nil
}

func TestAsyncAPIChecks(t *testing.T) {
	a := readAsyncAPI(t)
	for text, described := range map[string]bool{
		`{"type":"gap","from":1,"to":2}`: true, `{"type":"gap","from":1}`: false, `{"type":"gap","from":1,"to":2,"more":3}`: false,
		`{"type":"presence","event":"disconnect","clientId":1}`: true, `{"type":"presence","event":"disconnect","clientId":"1"}`: false,
		`{"type":"presence","from":"u","x":1}`: true, `{"type":"topic","data":null}`: true, `{"type":"new"}`: false, `{}`: false,
		`{"seq":1,"entity":"T","row_id":"1","kind":"delete","timestamp":"1Z"}`: true,
		`{"seq":1,"entity":"T","row_id":"1","kind":"upsert","timestamp":"1Z"}`: false,
	} {
		if err := a.check(text); (err == nil) != described {
			t.Errorf("%s: %v", text, err)
		}
	}
}
