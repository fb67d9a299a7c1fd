package delivery

// Kind is what a frame is, for the counts of what was lost.
type Kind uint8

// The kinds. A frame with a Seq is KindChange, whatever its Kind says.
const (
	KindOther    Kind = iota // answers to one client, what tells of a loss, and what other nodes have relayed
	KindControl              // pongs and Close
	KindChange               // change events that the change log gives again
	KindTopic                // topic messages, and change events for a topic's subscribers
	KindPresence             // presence, and who has left
	KindRow                  // rows' snapshots and updates
	KindBinary               // binary messages
	Kinds
)

var kindNames = [Kinds]string{"other", "control", "change", "topic", "presence", "row", "binary"}

// String is the kind's name in metrics.
func (k Kind) String() string { return kindNames[k] }

// KindOf is a frame's kind.
func KindOf(f *Frame) Kind {
	if f.Seq > 0 {
		return KindChange
	}
	return f.Kind
}

// ByKind is how many frames there are of each kind.
type ByKind [Kinds]int

// Less takes out what is there still.
func (n *ByKind) Less(still ByKind) {
	for k := range n {
		n[k] -= still[k]
	}
}

// Kinds are the queue's frames.
func (q *queue) Kinds() (n ByKind) {
	for _, f := range q.frames[q.head:] {
		n[KindOf(f.frame)]++
	}
	return n
}

// Part is the frame in progress, nil when there is none.
func (o *SendQueue) Part() *Frame { return o.part }
