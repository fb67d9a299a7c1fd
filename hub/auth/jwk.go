package auth

import (
	"bytes"
	"crypto"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/MicahParks/jwkset"
	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// maxKeys bounds a key set.
const maxKeys = 256

// leftOut is a key of a set that isn't used.
type leftOut struct {
	kid string // or its place in the set, when it names none that can be read
	why string
}

// readKeySet reads a JSON Web Key Set for tokens signed with one of algs. One key that is damaged,
// unknown or for something else leaves out that key alone (RFC 7517 sections 4 and 5); an error
// means that it isn't a key set.
func readKeySet(b []byte, algs []string) (keys []namedKey, out []leftOut, err error) {
	var set struct {
		Keys *[]jsontext.Value `json:"keys"`
	}
	if name := twice(b); name != "" {
		return nil, nil, fmt.Errorf("it has %q twice", name)
	}
	// What is odd within a key is that key's affair.
	if err := json.Unmarshal(b, &set, jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true)); err != nil || set.Keys == nil {
		return nil, nil, errors.New("it isn't a JSON Web Key Set, which is an object with an array of keys")
	}
	if n := len(*set.Keys); n > maxKeys {
		return nil, nil, fmt.Errorf("it holds %d keys, over the limit of %d", n, maxKeys)
	}
	for i, raw := range *set.Keys {
		k, err := readJWK(raw, algs)
		if err != nil {
			out = append(out, leftOut{kidOf(raw, i), err.Error()})
			continue
		}
		keys = append(keys, k)
	}
	return keys, out, nil
}

// twice is a name that an object has twice, looked for no deeper; "" when there is none, or no object.
func twice(b []byte) string {
	names := make(map[string]bool)
	d := jsontext.NewDecoder(bytes.NewReader(b), jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))
	for token, err := d.ReadToken(); err == nil && (token.Kind() == '{' || token.Kind() == '"'); token, err = d.ReadToken() {
		if token.Kind() == '{' {
			continue
		}
		name := token.String()
		if names[name] {
			return name
		}
		if d.SkipValue() != nil { // what is no JSON is found by whoever reads it
			return ""
		}
		names[name] = true
	}
	return ""
}

// readJWK takes the public keys that may verify signatures, whatever else their owner has said of them.
func readJWK(raw jsontext.Value, algs []string) (namedKey, error) {
	var m jwkset.JWKMarshal
	if err := json.Unmarshal(raw, &m); err != nil {
		var member *json.SemanticError
		if errors.As(err, &member) && member.JSONPointer != "" {
			return namedKey{}, fmt.Errorf("its %s can't be read", member.JSONPointer.LastToken())
		}
		return namedKey{}, errors.New("it isn't a JSON object with each name once")
	}
	switch {
	case m.USE != "" && m.USE != jwkset.UseSig:
		return namedKey{}, fmt.Errorf("its use is %q, and not sig", m.USE)
	case m.KEYOPS != nil && !slices.Contains(m.KEYOPS, jwkset.KeyOpsVerify):
		return namedKey{}, fmt.Errorf("its key_ops are %q, without verify", m.KEYOPS)
	case m.KTY == jwkset.KtyOct:
		return namedKey{}, errors.New("it is a secret that everybody can fetch")
	case m.D != "":
		return namedKey{}, errors.New("its private half is there for everybody to fetch")
	}
	if m.CRV == jwkset.CrvEd25519 && m.ALG == "" {
		m.ALG = jwkset.AlgEdDSA // the library wants it beside a certificate
	}
	// Extensions of use and key_ops (RFC 7517 sections 4.2 and 4.3) have been looked at above.
	j, err := jwkset.NewJWKFromMarshal(m, jwkset.JWKMarshalOptions{}, jwkset.JWKValidateOptions{SkipUse: true, SkipKeyOps: true})
	if err != nil {
		return namedKey{}, fmt.Errorf("it can't be read: %w", err)
	}
	k, err := publicKey(j.Key(), nil)
	if err != nil {
		return namedKey{}, err
	}
	if m.ALG != "" { // RFC 7517 section 4.4
		k.algs = both(k.algs, []string{m.ALG.String()})
	}
	if k.algs = both(k.algs, algs); len(k.algs) == 0 {
		return namedKey{}, fmt.Errorf("its kty, crv and alg (%q) go with none of %s", m.ALG, strings.Join(algs, ", "))
	}
	return namedKey{m.KID, k}, nil
}

// kidOf names a key that couldn't be read.
func kidOf(raw jsontext.Value, i int) string {
	var m struct {
		KID string `json:"kid"`
	}
	_ = json.Unmarshal(raw, &m, jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))
	if m.KID == "" {
		return "number " + strconv.Itoa(i+1)
	}
	return m.KID[:min(len(m.KID), 64)]
}

// namedKey is a key as a set has it.
type namedKey struct {
	kid string // "" when it has none
	key
}

// same reports whether nothing that was verified with k would be refused because of o.
func (k namedKey) same(o namedKey) bool {
	return k.kid == o.kid && slices.Equal(k.algs, o.algs) && k.equal(o.key)
}

func (k key) equal(o key) bool {
	if a, ok := k.key.([]byte); ok {
		b, ok := o.key.([]byte)
		return ok && bytes.Equal(a, b)
	}
	a, ok := k.key.(interface{ Equal(crypto.PublicKey) bool })
	return ok && a.Equal(o.key)
}
