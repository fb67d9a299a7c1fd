package bench

import "context"

// stall has those clients stop reading that are meant to.
func (l *Load) stall(ctx context.Context) error {
	_, err := l.ask(ctx, instruction{Tell: tellStall})
	return err
}

// churn has so many clients a second come and leave, each worker's share of them.
func (l *Load) churn(ctx context.Context, rate float64) error {
	_, err := l.ask(ctx, instruction{Tell: tellChurn, Churn: rate / float64(len(l.workers))})
	return err
}

// calm ends the coming and leaving.
func (l *Load) calm() error {
	ctx, cancel := context.WithTimeout(context.Background(), controlPatience)
	defer cancel()
	_, err := l.ask(ctx, instruction{Tell: tellCalm})
	return err
}

// resume has stalled clients read what there is for them, of the messages below end at
// least, and returns how many clients are connected then.
func (l *Load) resume(end uint64) (connected int, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), controlPatience)
	defer cancel()
	replies, err := l.ask(ctx, instruction{Tell: tellResume, End: end})
	for _, r := range replies {
		connected += r.Connected
	}
	return connected, err
}
