package hub

import "encoding/binary"

// Names of subscription keys. Lengths stand before parts, so that no two things that can
// be subscribed to share a name.

func keyOfTopic(topic string) string { return "t" + topic }

func keyOfEntity(entity string) string { return "e" + entity }

func keyOfRow(tenant, entity, rowID string) string {
	key := make([]byte, 0, 1+2*binary.MaxVarintLen32+len(tenant)+len(entity)+len(rowID))
	key = append(key, 'r')
	key = binary.AppendUvarint(key, uint64(len(tenant)))
	key = append(key, tenant...)
	key = binary.AppendUvarint(key, uint64(len(entity)))
	key = append(key, entity...)
	return string(append(key, rowID...))
}
