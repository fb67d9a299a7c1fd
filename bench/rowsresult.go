package bench

import (
	"fmt"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// RowsPhase is what one way of publishing cost.
type RowsPhase struct {
	Messages   uint64  `json:"messages"`
	Deliveries uint64  `json:"deliveries"` // that were recorded
	Seconds    float64 `json:"seconds"`
	CPU        CPU     `json:"cpu"`
	// PerPublish and PerDelivery are CPU.Server divided by messages and by deliveries, in ns.
	PerPublish  float64 `json:"cpu_per_publish_ns"`
	PerDelivery float64 `json:"cpu_per_delivery_ns"`
	Sends       float64 `json:"sends_per_delivery"` // -1 when the server can't count them
	// Wakes is how often a loop was woken for messages, all loops together.
	Wakes uint64 `json:"wakes"`
	// Unwanted is how many messages a loop was given that had none of their subscribers.
	Unwanted uint64  `json:"unwanted"`
	Latency  Latency `json:"latency"`
	Late     Latency `json:"publisher_late"` // of runs at a rate
}

// RowsResult is what a run of the scenario rows has shown.
type RowsResult struct {
	Target        string  `json:"target"`
	Clients       int     `json:"clients"`
	RowsEach      int     `json:"rows_per_client"`
	Subscribers   int     `json:"subscribers_per_row"`
	Rows          int     `json:"rows"`
	Subscriptions int     `json:"subscriptions"`
	Size          int     `json:"size"` // of a row's payload
	Window        int     `json:"window,omitempty"`
	Rate          float64 `json:"rate,omitempty"`
	Workers       int     `json:"workers"`
	Cores         Cores   `json:"cores"`
	Interrupted   bool    `json:"interrupted,omitempty"`

	SubscribeSeconds float64 `json:"subscribe_seconds"`         // from the first question to the last snapshot
	SubscribeCPU     float64 `json:"subscribe_cpu_ns"`          // of the server, per subscription
	Connected        Memory  `json:"connected"`                 // before anybody subscribed
	Subscribed       Memory  `json:"subscribed"`                // when all had
	PerSubscription  float64 `json:"resident_per_subscription"` // growth of Resident, bytes
	Loops            int     `json:"loops"`                     // of the server
	// LoopsWanted is how many loops have a subscriber of a row, on average over rows whose
	// subscribers are anybody: what Wakes per message is when messages come one at a time.
	LoopsWanted float64   `json:"loops_wanted"`
	ToRows      RowsPhase `json:"to_rows"`                  // publishes to rows
	ToSome      RowsPhase `json:"to_some"`                  // to as many clients, without rows
	ToAll       RowsPhase `json:"to_all"`                   // to all clients
	OverSome    float64   `json:"rows_over_some,omitempty"` // CPU per delivery, by that of ToSome
	OverAll     float64   `json:"rows_over_all,omitempty"`  // CPU per delivery, by that of ToAll

	Report Report `json:"report"`           // of the whole run
	Failed string `json:"failed,omitempty"` // why the run doesn't count
}

func (p *RowsPhase) cost(before, after moment, messages uint64) {
	p.Messages = messages
	p.Seconds = float64(after.at-before.at) / 1e9
	p.CPU = after.cpu.minus(before.cpu)
	p.Sends = -1
	if after.stats.Sends >= 0 {
		p.Sends = float64(after.stats.Sends - before.stats.Sends) // per delivery below
	}
	for i, l := range after.stats.Loops {
		p.Wakes += l.Wakes
		p.Unwanted += l.Unwanted
		if i < len(before.stats.Loops) {
			p.Wakes -= before.stats.Loops[i].Wakes
			p.Unwanted -= before.stats.Loops[i].Unwanted
		}
	}
}

func (p *RowsPhase) deliver(latency *hdrhistogram.Histogram, each uint64) {
	p.Latency = latencyOf(latency)
	p.Deliveries = p.Latency.Count
	if p.Deliveries == 0 {
		return
	}
	p.PerDelivery = float64(p.CPU.Server()) / float64(p.Deliveries)
	p.PerPublish = p.PerDelivery * float64(each)
	if p.Sends >= 0 {
		p.Sends /= float64(p.Deliveries)
	}
}

// judge says whether a phase counts.
func (r *RowsResult) judge(ph rowsPhase, trouble error) {
	due := ph.result.Messages * ph.deliveries
	switch {
	case r.Report.Any():
		r.Failed = fmt.Sprintf("%s: of %d clients: %s", ph.name, r.Clients, r.Report.Faults)
		if r.Report.Error != "" {
			r.Failed += "; " + r.Report.Error
		}
	case ph.result.Unwanted > 0:
		r.Failed = fmt.Sprintf("%s: loops were given %d messages of which they had no subscriber", ph.name, ph.result.Unwanted)
	case r.Interrupted:
	case trouble != nil:
		r.Failed = fmt.Sprintf("%s: %v", ph.name, trouble)
	case ph.result.Deliveries != due:
		r.Failed = fmt.Sprintf("%s: %d deliveries were recorded where %d were due", ph.name, ph.result.Deliveries, due)
	}
}

// compare divides what rows cost by what went without.
func (r *RowsResult) compare() {
	if r.ToSome.PerDelivery > 0 {
		r.OverSome = r.ToRows.PerDelivery / r.ToSome.PerDelivery
	}
	if r.ToAll.PerDelivery > 0 {
		r.OverAll = r.ToRows.PerDelivery / r.ToAll.PerDelivery
	}
}

// loopsWanted is on how many loops so many clients are, on average over all choices of them.
func loopsWanted(loops []LoopCounts, clients int) (wanted float64) {
	all := 0
	for _, l := range loops {
		all += l.Clients
	}
	for _, l := range loops {
		none := 1.0 // the probability that the loop has none of them
		for i := range clients {
			none *= max(float64(all-l.Clients-i), 0) / float64(max(all-i, 1))
		}
		wanted += 1 - none
	}
	return wanted
}
