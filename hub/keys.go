package hub

import "encoding/binary"

// Names of subscription keys. Lengths stand before parts, so that no two things that can
// be subscribed to share a name.

func keyOfTopic(topic string) string { return "t" + topic }

func keyOfEntity(entity string) string { return "e" + entity }

func keyOfRow(entity, rowID string) string {
	key := make([]byte, 0, 1+binary.MaxVarintLen32+len(entity)+len(rowID))
	key = append(key, 'r')
	key = binary.AppendUvarint(key, uint64(len(entity)))
	key = append(key, entity...)
	return string(append(key, rowID...))
}

func isRow(key string) bool { return key[0] == 'r' }

// rowOfKey is what keyOfRow was given.
func rowOfKey(key string) (entity, rowID string) {
	length, n := binary.Uvarint([]byte(key[1:min(len(key), 1+binary.MaxVarintLen32)]))
	names := key[1+n:]
	return names[:length], names[length:]
}
