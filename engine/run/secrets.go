package run

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"strings"
)

// secrets keeps sensitive texts out of everything that is written or shown.
// Each is replaced by a token made of its salted hash, and put back on resume
// once the operator has given the value again.
type secrets struct {
	salt   string
	tokens map[string]string // by secret
}

func newSecrets(salt string) *secrets {
	return &secrets{salt: salt, tokens: map[string]string{}}
}

// hash is the salted hash of a secret's encoding, in hexadecimal.
func (s *secrets) hash(secret string) string {
	sum := sha256.Sum256([]byte(s.salt + "\x00" + secret))
	return hex.EncodeToString(sum[:])
}

func (s *secrets) add(texts ...string) {
	for _, t := range texts {
		s.tokens[t] = "((sensitive:" + s.hash(t)[:24] + "))"
	}
}

// hide replaces the secrets in a text by their tokens.
func (s *secrets) hide(text string) string {
	for secret, token := range s.tokens {
		text = strings.ReplaceAll(text, secret, token)
	}
	return text
}

// show replaces the tokens in a text by their secrets.
func (s *secrets) show(text string) string {
	for secret, token := range s.tokens {
		text = strings.ReplaceAll(text, token, secret)
	}
	return text
}

// rewrite applies f to every string in a JSON-encodable value and returns the
// result as JSON.
func (s *secrets) rewrite(v any, f func(string) string) (json.RawMessage, error) {
	raw, err := json.Marshal(v)
	if err != nil || len(s.tokens) == 0 {
		return raw, err
	}
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.UseNumber()
	var tree any
	if err := dec.Decode(&tree); err != nil {
		return nil, err
	}
	return json.Marshal(rewriteTree(tree, f))
}

func rewriteTree(v any, f func(string) string) any {
	switch v := v.(type) {
	case string:
		return f(v)
	case []any:
		for i := range v {
			v[i] = rewriteTree(v[i], f)
		}
	case map[string]any:
		for k, x := range v {
			delete(v, k)
			v[f(k)] = rewriteTree(x, f)
		}
	}
	return v
}
