package bench

import (
	"time"

	"github.com/busbar-ws/busbar/bench/loadgen"
	"github.com/busbar-ws/busbar/bench/runner"
)

// Preset is a profile with a name, and how it is measured unless flags say otherwise.
type Preset struct {
	Name, Doc string
	Rounds    int
	Baseline  bool   // each round also measures the profile undisturbed, and figures are divided by that
	Args      string // arguments of Busbar as a target
	Profile   Profile
}

// Presets are the scenarios that have a name. Each starts from what Default has.
func Presets() []Preset {
	fanout := Default()
	fanout.Duration, fanout.WarmUp = 5*time.Second, time.Second
	with := func(p Profile, change func(*Profile)) Profile { change(&p); return p }
	return []Preset{
		{Name: "fanout", Doc: "messages to all clients: CPU per delivery, latency", Rounds: 1, Profile: fanout},
		{Name: "idle", Doc: "memory per connection, and one message to all", Rounds: 1, Profile: with(Default(), func(p *Profile) {
			p.Settle, p.Messages = 3*time.Second, 1
		})},
		{Name: "storm", Doc: "connections per second, CPU per handshake", Rounds: 1, Profile: Default()},
		{Name: "slow", Doc: "a fan-out while some clients don't read", Rounds: 3, Baseline: true, Profile: with(fanout, func(p *Profile) {
			p.Stalled, p.Duration = 0.01, 10*time.Second
		})},
		{Name: "churn", Doc: "a fan-out while clients leave and come", Rounds: 3, Baseline: true, Profile: with(fanout, func(p *Profile) {
			p.Churn, p.Rate, p.Duration = 50, 100, 10*time.Second
		})},
		{Name: "rush", Doc: "a fan-out while very many clients connect at once", Rounds: 3, Baseline: true,
			Args: "-accept-rate 2000 -accept-burst 200", Profile: with(fanout, func(p *Profile) {
				p.Clients, p.Storm, p.Rate = 500, 15_000, 100
			})},
		{Name: "mixed", Doc: "sizes, churn and stalled clients at once", Rounds: 1, Profile: with(fanout, func(p *Profile) {
			p.Stalled, p.Churn, p.Rate, p.Duration = 0.01, 50, 50, 20*time.Second
			p.Sizes = loadgen.Mixture{{Size: 128, Weight: 70}, {Size: 512, Weight: 20}, {Size: 2048, Weight: 8}, {Size: 16384, Weight: 2}}
		})},
		{Name: "rows", Doc: "messages to rows with few subscribers, to as many clients, and to all", Rounds: 1, Profile: with(fanout, func(p *Profile) {
			p.Rows, p.Subscribers, p.Settle = 100, 3, 3*time.Second
		})},
		{Name: "presence", Doc: "messages of clients to all clients", Rounds: 1, Profile: with(fanout, func(p *Profile) {
			p.Senders, p.Rate = 0.1, 100
		})},
	}
}

// Default is a profile in which 1,000 clients connect, and nothing else happens.
func Default() Profile {
	p := Profile{Clients: 1000, Sizes: loadgen.Size(128), Window: 1}
	p.Pace, p.Stall = 128, 10*time.Second
	p.ServerCores, p.LoadCores = runner.DefaultCores()
	return p
}
