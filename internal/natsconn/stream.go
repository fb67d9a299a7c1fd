package natsconn

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"reflect"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/busbar-ws/busbar/hub"
)

// CheckName is an error for what can't be the name of a stream.
func CheckName(name string) error {
	if strings.ContainsAny(name, ".*> \t\r\n/\\") || name == "" {
		return fmt.Errorf("%q can't be the name of a stream", name)
	}
	return nil
}

// Mark is the key of a stream's metadata by which Busbar knows what it has made.
const Mark = "busbar"

// OpenStream makes a stream, or has one that is there keep what is wanted. A new one begins with the time, so that
// its sequences are above those of an earlier one. check is told what there is, nil for nothing, before that is done.
func OpenStream(ctx context.Context, js jetstream.JetStream, wanted jetstream.StreamConfig, log *slog.Logger, check func(has *jetstream.StreamConfig) error) (jetstream.Stream, error) {
	wanted.FirstSeq = hub.LogStart(time.Now()) + 1
	stream, err := js.Stream(ctx, wanted.Name)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		if err := check(nil); err != nil {
			return nil, err
		}
		stream, err = js.CreateStream(ctx, wanted)
		if HasCode(err, NameInUse) { // another node was first
			stream, err = js.Stream(ctx, wanted.Name)
		}
	}
	if err != nil {
		return nil, ForGood(err)
	}
	has := stream.CachedInfo().Config
	if err := check(&has); err != nil {
		return nil, err
	}
	unfit := Unfit(has, wanted)
	if unfit == nil && sameLimits(has, wanted) {
		return stream, nil
	}
	if unfit != nil {
		log.Warn("the stream is set up as it has to be", "stream", has.Name, "was", unfit)
	} else {
		log.Warn("the stream's limits or replicas are changed to what this node was started with",
			"stream", has.Name, "replicas", wanted.Replicas, "events", wanted.MaxMsgs, "bytes", wanted.MaxBytes, "age", wanted.MaxAge)
	}
	warnOfNarrowing(log, stream.CachedInfo(), &wanted)
	if stream, err = js.UpdateStream(ctx, Keeping(has, wanted)); err != nil {
		return nil, ForGood(err)
	}
	return stream, nil
}

// warnOfNarrowing says what a stream is about to let go of.
func warnOfNarrowing(log *slog.Logger, has *jetstream.StreamInfo, wanted *jetstream.StreamConfig) {
	beyond := func(has uint64, most int64) uint64 { return has - min(has, uint64(max(most, 0))) }
	events, bytes := uint64(0), uint64(0)
	if wanted.MaxMsgs > 0 {
		events = beyond(has.State.Msgs, wanted.MaxMsgs)
	}
	if wanted.MaxBytes > 0 {
		bytes = beyond(has.State.Bytes, wanted.MaxBytes)
	}
	age := time.Since(has.State.FirstTime)
	old := wanted.MaxAge > 0 && has.State.Msgs > 0 && age > wanted.MaxAge
	if events == 0 && bytes == 0 && !old {
		return
	}
	log.Warn("the stream keeps more than that, and lets go of it: give all nodes the same limits", "stream", wanted.Name,
		"messages_let_go", events, "bytes_let_go", bytes, "oldest", age.Round(time.Second))
}

// Unfit is an error about a stream that somebody has set up so that Busbar can't publish to it, or isn't told of what
// others do.
func Unfit(has, wanted jetstream.StreamConfig) error {
	for _, setting := range []struct {
		name        string
		has, wanted any
	}{
		{"subjects", has.Subjects, wanted.Subjects},
		{"republish", has.RePublish, wanted.RePublish},
		{"max_msg_size", has.MaxMsgSize, wanted.MaxMsgSize},
		{"no_ack", has.NoAck, wanted.NoAck},
		{"discard", has.Discard, wanted.Discard},
		{"allow_rollup_hdrs", has.AllowRollup, wanted.AllowRollup},
		{"allow_msg_ttl", has.AllowMsgTTL, wanted.AllowMsgTTL},
	} {
		if !reflect.DeepEqual(setting.has, setting.wanted) {
			return fmt.Errorf("%w: %s is %+v, and has to be %+v; set it back, or start a node again, which does",
				ErrUnfit, setting.name, setting.has, setting.wanted)
		}
	}
	return nil
}

// ErrUnfit is wrapped by Unfit.
var ErrUnfit = errors.New("somebody has changed how the stream is set up")

// Keeping is what Busbar wants of a stream, and of what it has all else: where it is, how it is compressed, and what
// it is called are its administrator's.
func Keeping(has, wanted jetstream.StreamConfig) jetstream.StreamConfig {
	has.Subjects, has.RePublish, has.Replicas, has.Discard = wanted.Subjects, wanted.RePublish, wanted.Replicas, wanted.Discard
	has.MaxMsgs, has.MaxBytes, has.MaxAge, has.MaxMsgsPerSubject = wanted.MaxMsgs, wanted.MaxBytes, wanted.MaxAge, wanted.MaxMsgsPerSubject
	has.Duplicates, has.AllowDirect, has.AllowAtomicPublish = wanted.Duplicates, wanted.AllowDirect, wanted.AllowAtomicPublish
	has.MaxMsgSize, has.NoAck = wanted.MaxMsgSize, wanted.NoAck
	has.AllowRollup, has.AllowMsgTTL, has.DenyDelete = wanted.AllowRollup, wanted.AllowMsgTTL, wanted.DenyDelete
	return MarkedAs(has, wanted.Metadata[Mark])
}

// MarkedAs is the stream with another Mark.
func MarkedAs(config jetstream.StreamConfig, mark string) jetstream.StreamConfig {
	others := config.Metadata
	config.Metadata = map[string]string{Mark: mark}
	for key, value := range others {
		if key != Mark {
			config.Metadata[key] = value
		}
	}
	return config
}

// RowsOf is the name of the stream of rows beside a change log's.
func RowsOf(changeLog string) string { return changeLog + "-rows" }

// Shut has a stream with that configuration take nothing but what is published to a subject that nobody else knows. It
// returns the last sequence of what was stored before.
func Shut(ctx context.Context, js jetstream.JetStream, config jetstream.StreamConfig, subject string) (stream jetstream.Stream, last uint64, err error) {
	config.Subjects, config.MaxAge = []string{subject}, 0
	if stream, err = js.UpdateStream(ctx, config); err != nil {
		return nil, 0, ForGood(err)
	}
	// What was on its way into the stream is in it before this.
	ack, err := js.Publish(ctx, subject, []byte("{}"), jetstream.WithRetryAttempts(0))
	if err != nil {
		return nil, 0, err
	}
	return stream, ack.Sequence - 1, stream.DeleteMsg(ctx, ack.Sequence)
}

// Foreign is an error about a stream that isn't what it should be.
func Foreign(has *jetstream.StreamConfig, what string) error {
	return Permanent(fmt.Errorf("it isn't a %s of Busbar's (its subjects are %q); choose another name", what, has.Subjects))
}

func sameLimits(a, b jetstream.StreamConfig) bool {
	return a.Replicas == b.Replicas && a.MaxMsgs == b.MaxMsgs && a.MaxBytes == b.MaxBytes && a.MaxAge == b.MaxAge &&
		a.Duplicates == b.Duplicates && a.AllowDirect == b.AllowDirect
}

// ForGood marks errors that only a change of the configuration mends.
func ForGood(err error) error {
	if HasCode(err, NoReplicas) {
		return Permanent(fmt.Errorf("%w; a single NATS server takes -nats-replicas 1", err))
	}
	if errors.Is(err, jetstream.ErrJetStreamNotEnabledForAccount) ||
		HasCode(err, InvalidConfig, AccountFull, StorageFull) {
		return Permanent(err)
	}
	return err
}

// Message is one of a stream's.
type Message struct {
	Seq    uint64
	Header nats.Header
	Data   []byte
	Time   time.Time
}

// AskLeader is the first message from seq on with a subject, as the stream's leader has it: replicas may be behind,
// and jetstream.Stream.GetMsg would ask any. It is jetstream.ErrMsgNotFound when there is none.
func AskLeader(ctx context.Context, conn *nats.Conn, stream, subject string, seq uint64) (m Message, err error) {
	ctx, cancel := context.WithTimeout(ctx, RequestTimeout)
	defer cancel()
	question := fmt.Appendf(nil, `{"seq":%d,"next_by_subj":%q}`, seq, subject)
	answer, err := conn.RequestWithContext(ctx, "$JS.API.STREAM.MSG.GET."+stream, question)
	if err != nil {
		return m, fmt.Errorf("asking the stream's leader for message %d: %w", seq, err)
	}
	var got struct {
		Error   *jetstream.APIError
		Message struct {
			Seq  uint64
			Hdrs []byte
			Data []byte
			Time time.Time
		}
	}
	if err := json.Unmarshal(answer.Data, &got); err != nil {
		return m, fmt.Errorf("message %d as the stream's leader has it: %w", seq, err)
	}
	if got.Error != nil {
		if got.Error.Code == http.StatusNotFound {
			return m, jetstream.ErrMsgNotFound
		}
		return m, got.Error
	}
	m = Message{Seq: got.Message.Seq, Data: got.Message.Data, Time: got.Message.Time}
	if len(got.Message.Hdrs) > 0 {
		m.Header, err = nats.DecodeHeadersMsg(got.Message.Hdrs)
	}
	return m, err
}

// ByLeader is an error for what a server says of a stream that it hasn't found the other servers of yet, and answers for
// with what it had.
func ByLeader(info *jetstream.StreamInfo) error {
	if info.Config.Replicas > 1 && info.Cluster == nil {
		return errors.New("a server answers for the stream that isn't in touch with its others")
	}
	return nil
}

// Agree returns when the stream's leader has had most servers agree to something, which a former leader can't: the
// deletion of message 0, which there never is. It is answered behind all that was stored before.
func Agree(ctx context.Context, conn *nats.Conn, stream string) error {
	ctx, cancel := context.WithTimeout(ctx, RequestTimeout)
	defer cancel()
	answer, err := conn.RequestWithContext(ctx, "$JS.API.STREAM.MSG.DELETE."+stream, []byte(`{"seq":0,"no_erase":true}`))
	if err != nil {
		return err
	}
	var got struct{ Error *jetstream.APIError }
	if err := json.Unmarshal(answer.Data, &got); err != nil || got.Error == nil {
		return fmt.Errorf("asking the stream's servers to agree: %.100q: %w", answer.Data, err)
	}
	if !HasCode(got.Error, DeleteFailed, NoSuchSeq) {
		return got.Error
	}
	return nil
}

// LastSequence is a header of what a stream republishes: the sequence before it of its subject, 0 when there is none. In
// an answer of several messages it is the sequence of the message before, 0 in the first. It is the server's
// JSLastSequence.
const LastSequence = "Nats-Last-Sequence"

// Number is a header's, 0 when there is none.
func Number(h nats.Header, name string) uint64 {
	n, _ := strconv.ParseUint(h.Get(name), 10, 64)
	return n
}
