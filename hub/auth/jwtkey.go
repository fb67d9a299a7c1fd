package auth

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/x509"
	"encoding/asn1"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/busbar-ws/busbar/internal/sqlitefile"
)

// key is a verification key and the algorithms made for its type. The two belong
// together: were the algorithm the token's choice, a public key could be used as an
// HMAC secret (RFC 8725 section 2.1).
type key struct {
	key  any
	algs []string
	bare []byte // a secret without what is around it in its file, nil if that is nothing
}

const byteOrderMark = "\ufeff"

var (
	rsaAlgs   = []string{"RS256", "RS384", "RS512", "PS256", "PS384", "PS512"}
	ecAlgs    = map[string]string{"P-256": "ES256", "P-384": "ES384", "P-521": "ES512"}
	hmacAlgs  = []string{"HS256", "HS384", "HS512"}
	knownAlgs = slices.Concat(hmacAlgs, rsaAlgs, []string{"ES256", "ES384", "ES512", "EdDSA"})
)

const (
	minSecret  = 32 // bytes, RFC 7518 section 3.2
	minRSA     = 2048
	maxKeyFile = 64 << 10
)

func checkAlgorithms(algs []string) error {
	for _, a := range algs {
		if !slices.Contains(knownAlgs, a) {
			return fmt.Errorf("JWT algorithm %q is not one of %s", a, strings.Join(knownAlgs, ", "))
		}
	}
	return nil
}

func both(a, b []string) []string {
	return slices.DeleteFunc(slices.Clone(a), func(s string) bool { return !slices.Contains(b, s) })
}

func readKey(path string) (key, error) {
	f, err := os.Open(path)
	if err != nil {
		return key{}, sqlitefile.Errno(err)
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxKeyFile+1))
	switch {
	case err != nil:
		return key{}, sqlitefile.Errno(err)
	case len(b) > maxKeyFile:
		return key{}, fmt.Errorf("it is over %d bytes", maxKeyFile)
	case bytes.Contains(b, []byte("-----BEGIN")):
		return readPEM(b)
	}
	return readSecret(b)
}

// readSecret refuses public keys in other clothes: as an HMAC secret, a thing that
// everyone may know would let everyone sign.
func readSecret(b []byte) (key, error) {
	bytesOfText, _ := base64.RawStdEncoding.DecodeString(strings.TrimRight(strings.Join(strings.Fields(string(b)), ""), "="))
	other := startsWithDER(b) || startsWithDER(bytesOfText) // before a key's last bytes pass for a line end
	b = bytes.TrimSuffix(bytes.TrimSuffix(b, []byte("\n")), []byte("\r"))
	for _, form := range []string{"{", "ssh-", "ecdsa-"} {
		other = other || bytes.HasPrefix(bytes.TrimSpace(b), []byte(form))
	}
	switch {
	case other:
		return key{}, errors.New("it is a key as DER, its base64, SSH or JSON; a public key in PEM (-----BEGIN PUBLIC KEY-----) or a secret is needed")
	case len(b) < minSecret:
		return key{}, fmt.Errorf("the secret has %d bytes; HS256 needs %d or more (RFC 7518 section 3.2)", len(b), minSecret)
	}
	return secretKey(b), nil
}

// secretKey takes a text with white space or a byte order mark around it for two secrets: an
// editor may have put that there, or the issuer may have it in its own.
func secretKey(b []byte) key {
	bare := bytes.TrimSpace(bytes.TrimPrefix(b, []byte(byteOrderMark)))
	isText := utf8.Valid(b) && !bytes.ContainsFunc(bare, unicode.IsControl)
	if !isText || len(bare) == len(b) || len(bare) < minSecret {
		return key{key: b, algs: hmacAlgs}
	}
	return key{b, hmacAlgs, bare}
}

// startsWithDER finds a binary public key or certificate, of whatever algorithm, by how it begins: a SEQUENCE of which the
// first part is a SEQUENCE, or in RFC 8017's RSAPublicKey an INTEGER. Of random secrets one in millions does.
func startsWithDER(b []byte) bool {
	const sequence, integer = 0x30, 0x02 // X.690, universal
	var whole, first asn1.RawValue
	if _, err := asn1.Unmarshal(b, &whole); err != nil || b[0] != sequence {
		return false
	}
	_, err := asn1.Unmarshal(whole.Bytes, &first)
	return err == nil && (whole.Bytes[0] == sequence || whole.Bytes[0] == integer)
}

func readPEM(b []byte) (key, error) {
	block, rest := pem.Decode(b)
	if block == nil {
		return key{}, errors.New("it is damaged PEM")
	}
	if more, _ := pem.Decode(rest); more != nil {
		return key{}, errors.New("it holds more than one PEM block; one public key is needed")
	}
	switch block.Type {
	case "PUBLIC KEY":
		return publicKey(x509.ParsePKIXPublicKey(block.Bytes))
	case "RSA PUBLIC KEY":
		return publicKey(x509.ParsePKCS1PublicKey(block.Bytes))
	case "CERTIFICATE":
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return key{}, errors.New("the certificate can't be read")
		}
		return publicKey(c.PublicKey, nil)
	}
	if strings.Contains(block.Type, "PRIVATE KEY") {
		return key{}, errors.New("it is a private key; only the public one belongs here")
	}
	return key{}, fmt.Errorf("it is a PEM %q; a PUBLIC KEY is needed", block.Type)
}

func publicKey(k any, err error) (key, error) {
	if err != nil {
		return key{}, errors.New("the public key can't be read")
	}
	switch k := k.(type) {
	case *rsa.PublicKey:
		if k.N.BitLen() < minRSA {
			return key{}, fmt.Errorf("the RSA key has %d bits; %d or more are needed (RFC 7518 section 3.3)", k.N.BitLen(), minRSA)
		}
		return key{key: k, algs: rsaAlgs}, nil
	case *ecdsa.PublicKey:
		alg, ok := ecAlgs[k.Curve.Params().Name]
		if !ok {
			return key{}, fmt.Errorf("JWT has no algorithm for the curve %s", k.Curve.Params().Name)
		}
		return key{key: k, algs: []string{alg}}, nil
	case ed25519.PublicKey:
		return key{key: k, algs: []string{"EdDSA"}}, nil
	}
	return key{}, fmt.Errorf("a key of type %T is of no use here", k)
}
