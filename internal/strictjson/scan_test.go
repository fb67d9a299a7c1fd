package strictjson

import (
	"fmt"
	"runtime"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"
)

func scan(text []byte, strict bool) error {
	s := scanner{text: text, strict: strict}
	s.whole()
	return s.error()
}

// Objects of many names, in each other and behind each other, with the names that are spelled in
// two ways.
func TestNamesStandOnce(t *testing.T) {
	members := func(n int, spelled string) string {
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, `"`+spelled+`":%d,`, i, i)
		}
		return b.String()
	}
	for _, n := range []int{0, 1, 15, 16, 17, 47, 48, 49, 1000} {
		for _, spelled := range []string{"n%d", `\u006e%d`, `é\n%d`} {
			all := members(n, spelled)
			object := "{" + all + `"n":{` + all + `"n":0},"o":[{` + all + `"n":0},{` + all + `"n":0}]}`
			if err := Check([]byte(object)); err != nil {
				t.Errorf("%d of %s: %v", n, spelled, err)
			}
			for _, again := range []string{"n", `\u006e`} {
				twice := "[{" + all + `"n":{` + all + `"n":0},"` + again + `":1}]`
				if err := Check([]byte(twice)); err == nil || err.Error() != "n: stands twice" {
					t.Errorf("%d of %s, and %s: %v", n, spelled, again, err)
				}
				if n > 1 {
					twice = `{"o":{` + all + `"` + again + `1":1}}`
					want := "o.n1: stands twice"
					if strings.HasPrefix(spelled, "é") {
						want = "<nil>"
					}
					if err := Check([]byte(twice)); fmt.Sprint(err) != want {
						t.Errorf("%d of %s, and %s1: %v", n, spelled, again, err)
					}
				}
			}
		}
	}
}

// What a scan allocates, all in all, is less than three times a text of many names, and next to
// nothing for one of many objects.
func TestWhatAScanTakes(t *testing.T) {
	members := func(n int, within string) string {
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, `"%x":0,`, i)
		}
		return "{" + b.String() + `"all":` + within + "}"
	}
	const n = 1 << 17
	objects := strings.TrimSuffix(strings.Repeat(members(20, "0")+",", n/20), ",")
	for name, c := range map[string]struct {
		text string
		most float64 // of the text
	}{
		"an object":             {members(n, "0"), 3},
		"objects in each other": {members(n/2, members(n/2, "0")), 3},
		"many objects":          {members(20, "["+objects+"]"), 0.01},
	} {
		text := []byte(c.text)
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		err := Check(text)
		runtime.ReadMemStats(&after)
		share := float64(after.TotalAlloc-before.TotalAlloc) / float64(len(text))
		if err != nil || share > c.most {
			t.Errorf("%s: %v, and %.2f times its text was allocated", name, err, share)
		}
		t.Logf("%s: %.2f", name, share)
	}
}

// FuzzScan compares with package jsontext, of which it has everything but that names that stand
// twice are found in little memory.
func FuzzScan(f *testing.F) {
	for _, text := range []string{
		``, ` `, `null`, `nul`, `true `, `-0.5e+10`, `01`, `1.`, `-`, `1e`, `"\ud83d"`, `"\q"`, `"\u12g4"`, "\"\x00\"", "\"\xff\"", "\"\xe2\x82\"", "\"é\u2028\"",
		`{}`, `[]`, `{"a":[1,{"b":null}],"c":""}`, `{"a":1,"\u0061":2}`, `{"a":1,}`, `[1,]`, `{"a" 1}`, `{1:2}`, `{}{}`, "\ufeff{}", `[[[[`, `{"a":{"a":{"a":1}}}`,
		`{"\ud800":1,"\udc00":2}`, `{"\ud83d\ude00":1,"😀":2}`, `{"":1,"":1}`, `{"a":0,"b":0,"c":0,"d":0,"e":0,"f":0,"g":0,"h":0,"i":0,"j":0,"k":0,"l":0,"m":0,"n":0,"o":0,"p":0,"q":0,"p":0}`,
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		lone := jsontext.AllowInvalidUTF8(true)
		for strict, want := range map[bool]bool{
			true:  utf8.Valid(text) && jsontext.Value(text).IsValid(lone),
			false: jsontext.Value(text).IsValid(lone, jsontext.AllowDuplicateNames(true)),
		} {
			if err := scan(text, strict); (err == nil) != want {
				t.Fatalf("%q, strict %v: %v", text, strict, err)
			}
		}
	})
}

func BenchmarkCheck(b *testing.B) {
	for name, text := range map[string]string{
		"200B":     `{"title":"Buy milk and bread","done":false,"priority":3,"tags":["home","food"],"owner":{"id":"u_17","name":"Zoë"},"at":1767225600.25,"note":"` + strings.Repeat("lorem ", 9) + `"}`,
		"4KiB":     `{"text":"` + strings.Repeat("lorem ipsum ", 340) + `"}`,
		"64KiB":    `[` + strings.Repeat(`{"id":"u_17","name":"Zoë","x":103.25,"y":88,"on":true},`, 1190) + `0]`,
		"Cyrillic": `"` + strings.Repeat("привет мир ", 1000) + `"`,
	} {
		for engine, check := range map[string]func([]byte) bool{
			"scan": func(text []byte) bool { return Check(text) == nil },
			"jsontext": func(text []byte) bool {
				return utf8.Valid(text) && jsontext.Value(text).IsValid(jsontext.AllowInvalidUTF8(true))
			},
		} {
			b.Run(name+"/"+engine, func(b *testing.B) {
				text := []byte(text)
				b.SetBytes(int64(len(text)))
				b.ReportAllocs()
				for b.Loop() {
					if !check(text) {
						b.Fatal("not taken")
					}
				}
			})
		}
	}
}
