package hub

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/coder/websocket"
)

// TestScenarios plays testdata/scenarios/*.txt on a real hub with real clients; README
// there says what the lines mean.
func TestScenarios(t *testing.T) {
	files, err := filepath.Glob("testdata/scenarios/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no scenarios: %v", err)
	}
	api := readAsyncAPI(t)
	played := 0
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			played++
			t.Parallel()
			playScenario(t, file, api)
		})
	}
	t.Cleanup(func() { // when all of them have ended
		for name := range api.schemas {
			if played == len(files) && !api.seen[name] {
				t.Errorf("no scenario shows %s of docs/asyncapi.yaml", name)
			}
		}
	})
}

func playScenario(t *testing.T, file string, api *asyncAPI) {
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	s := scenario{t: t, api: api, clients: make(map[string]*actor), fetches: make(chan fetched, 16)}
	lines := strings.Split(string(text), "\n")
	for i, line := range lines {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		if err := s.play(line); err != nil {
			t.Fatalf("%s:%d: %v\n%s", file, i+1, err, transcript(lines, i))
		}
	}
}

// transcript is the scenario up to the line that went wrong.
func transcript(lines []string, failed int) string {
	var b strings.Builder
	for i, line := range lines[:failed+1] {
		mark := "  "
		if i == failed {
			mark = "> "
		}
		fmt.Fprintf(&b, "%s%3d  %s\n", mark, i+1, line)
	}
	return b.String()
}

// scenario is the stage that a transcript is played on.
type scenario struct {
	t       *testing.T
	api     *asyncAPI
	hub     *Hub
	clients map[string]*actor
	fetches chan fetched
	started []fetched // taken from fetches and not answered
	markers int
}

// actor is a client with a name.
type actor struct {
	*listener
	name string
	id   uint64
	api  *asyncAPI
}

// receive fails for a text that docs/asyncapi.yaml doesn't have.
func (a *actor) receive() (received, error) {
	m, err := a.listener.receive()
	if err == nil && m.kind == websocket.MessageText {
		err = a.api.check(string(m.data))
	}
	return m, err
}

func (s *scenario) play(line string) error {
	first, rest, _ := strings.Cut(line, " ")
	if first == "hub" || s.hub == nil {
		var settings []string
		if first == "hub" {
			settings = strings.Fields(rest)
		}
		if err := s.startHub(settings); err != nil || first == "hub" {
			return err
		}
	}
	defer handled(s.t, s.hub)
	if act, ok := stageLines[first]; ok {
		return act(s, rest)
	}
	a := s.clients[first]
	if a == nil {
		return fmt.Errorf("%q is neither a command nor a client", first)
	}
	does := "" // the longest that fits: "gets nothing" rather than "gets"
	for verb := range actorLines {
		if strings.HasPrefix(rest+" ", verb+" ") && len(verb) > len(does) {
			does = verb
		}
	}
	if does == "" {
		return fmt.Errorf("clients don't know how to %q", rest)
	}
	return actorLines[does](s, a, strings.TrimSpace(strings.TrimPrefix(rest, does)))
}

// withIDs puts client ids in the place of $name.
func (s *scenario) withIDs(text string) string {
	for name, a := range s.clients {
		text = strings.ReplaceAll(text, "$"+name, fmt.Sprint(a.id))
	}
	return text
}
