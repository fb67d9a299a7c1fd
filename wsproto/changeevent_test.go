package wsproto

import (
	"fmt"
	"math/rand/v2"
	"strings"
)

// changeEvent is a change event of about size bytes as an application would publish it:
// names that repeat, numbers and ids that don't, and some prose.
func changeEvent(random *rand.Rand, size int) []byte {
	var b strings.Builder
	fmt.Fprintf(&b, `{"seq":%d,"entity":"Todo","row_id":"t_%x","kind":"update","data":{"id":"t_%x"`,
		random.IntN(1<<30), random.Uint64(), random.Uint64())
	for field := 0; b.Len() < size-40; field++ {
		switch field % 4 {
		case 0:
			fmt.Fprintf(&b, `,"title_%d":"%s"`, field, prose(random, 3))
		case 1:
			fmt.Fprintf(&b, `,"done_%d":%t`, field, random.IntN(2) == 0)
		case 2:
			fmt.Fprintf(&b, `,"assignee_%d":"u_%08x"`, field, random.Uint32())
		case 3:
			fmt.Fprintf(&b, `,"updated_at_%d":%d`, field, 1_767_225_600+random.IntN(1<<24))
		}
	}
	b.WriteString(`},"timestamp":"1767225600Z"}`)
	return []byte(b.String())
}

func prose(random *rand.Rand, words int) string {
	const vocabulary = "the of and to in a is that for it was on as with be by at this from or have an are not which one you had her all were they we when there can more if out about so up into them than its time only could new other some then these two may first any my now such like our over even most after also made many before must through back years where much your way well down should because each just those people how too little state good very make world still own see men work long get here between both life being under never day same another know while last might us great old year off come since against go came right used take three"
	all := strings.Fields(vocabulary)
	some := make([]string, words)
	for i := range some {
		some[i] = all[random.IntN(len(all))]
	}
	return strings.Join(some, " ")
}
