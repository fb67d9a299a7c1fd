package histogram

import (
	"encoding/json"
	"strings"
	"testing"
	"time"
)

func TestDurations(t *testing.T) {
	var d Durations
	for _, took := range []time.Duration{-time.Second, 0, 50 * time.Microsecond, 50*time.Microsecond + 1, 10 * time.Second, time.Minute} {
		d.Observe(took)
	}
	one, twice := d.Read(), d.Read()
	twice.Add(one)
	count, upTo := twice.Cumulative()
	if count != 12 || upTo[0.00005] != 6 || upTo[0.0001] != 8 || upTo[5] != 8 || upTo[10] != 10 {
		t.Errorf("%d in all: %v", count, upTo)
	}
	text, err := json.Marshal(one)
	const begin, end = `{"count":6,"seconds":70.000100001,"buckets":[{"le":0.00005,"count":3},{"le":0.0001,"count":4},`, `{"le":10,"count":5}]}`
	if err != nil || !strings.HasPrefix(string(text), begin) || !strings.HasSuffix(string(text), end) {
		t.Errorf("in JSON %s, %v", text, err)
	}
}
