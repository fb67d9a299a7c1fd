package eventloop

// Cause says why a connection ended or was refused. Every one is a counter.
type Cause uint8

// Causes. What a name doesn't say stands beside it.
const (
	CauseUnknown          Cause = iota
	CausePeerClosed             // the peer sent Close
	CausePeerGone               // the peer ended the connection without Close
	CauseReset                  // the connection broke while reading or writing
	CauseHandshakeTimeout       // no complete upgrade request, or no answer who it is, in time
	CauseBadHandshake           // refused with an HTTP status
	CauseProbe                  // a load balancer asked whether the server is healthy
	CauseRejected               // not let in by the Handler
	CauseProtocolError          // 1002, 1007
	CauseTooBig                 // 1009
	CauseSlow                   // lagged too far
	CauseDead                   // no sign of life within ping interval and pong timeout
	CauseExpired                // the identity's time was over
	CauseServerClosed           // closed by the Handler or an administrator
	CauseDraining               // shutting down
	CausePanic                  // a handler panicked
	CauseAddressCap             // too many connections from the address
	CauseCapacity               // no descriptor or slot left for it
	CauseUntrustedProxy         // PROXY protocol is required, and the peer isn't a trusted proxy
	CauseBadProxyHeader         // a trusted proxy's header is malformed, or isn't there though it is required
	CauseRateAbuse              // went on far over a rate limit
	CauseMemory                 // too much memory was buffered for it when the whole server was short of that
	CauseOverloaded             // refused while the whole server was short of memory
	causeCount
)

var causeNames = [causeCount]string{
	"unknown", "peer_closed", "peer_gone", "reset", "handshake_timeout", "bad_handshake", "probe", "rejected",
	"protocol_error", "too_big", "slow", "dead", "expired", "server_closed", "draining", "panic",
	"address_cap", "capacity", "untrusted_proxy", "bad_proxy_header", "rate_abuse", "memory", "overloaded",
}

// String is the cause's name in metrics.
func (c Cause) String() string { return causeNames[c] }
