// Package doctor says what limits a busbar on a host.
package doctor

import (
	"os"
	"runtime"

	"github.com/busbar-ws/busbar/hub"
)

// Server is what is to be known of the server that is meant to run.
type Server struct {
	Hub         hub.Options
	API, Data   string
	RowsFetched bool   // from a service, instead of being stored
	LogBytes    int    // of change events in memory
	LogFlag     string // that bounds them
	// Reserve is how many descriptors everything but the clients takes when there are so many, and so many open.
	Reserve func(open, descriptors int) int
}

// Examine looks at this host for a server with so many connections; 0 is as many as it can hold, and no warnings for
// their number. It changes nothing.
func Examine(s *Server, connections int) *Report {
	h := readHost(os.DirFS("/"))
	h.cores = int64(runtime.GOMAXPROCS(0)) // which Go takes from affinity and control group, for a server too
	r := report(h, s, int64(connections))
	listen, trusted := s.Hub.Loops.Listen, s.Hub.Loops.Accept.TrustedProxies
	r.add(examineDataDir(s.Data, h.locks), examinePort("-listen", listen, s.Data, h.locks),
		examinePort("-api", s.API, s.Data, h.locks))
	if len(trusted) > 0 {
		r.add(examineProxies(trusted, listen, r.judgedBy()))
	}
	return r
}

// report is what the host's limits come to.
func report(h host, s *Server, connections int64) *Report {
	e := estimate(h, s)
	r := &Report{Asked: connections, Bytes: h.connectionBytes(), Limits: e.limits, capacity: e.capacity}
	if len(e.limits) > 0 {
		r.Connections, r.RunsOutFirst = e.limits[0].Connections, e.limits[0].Name
	}
	r.add(examine(h, s, r.judgedBy())...)
	return r
}

// judgedBy is the number of connections that findings are about.
func (r *Report) judgedBy() int64 {
	if r.Asked > 0 {
		return r.Asked
	}
	return r.Connections
}

// add takes back the warnings for a number of connections when nobody has named one.
func (r *Report) add(findings ...finding) {
	for _, f := range findings {
		if r.Asked == 0 && f.byNumber && f.Verdict == warn {
			f = finding{Verdict: fine, Name: f.Name, Value: f.Value, Meaning: f.Meaning}
		}
		switch f.Verdict {
		case warn:
			r.Warnings++
		case fail:
			r.Failures++
		}
		r.Findings = append(r.Findings, f)
	}
}
