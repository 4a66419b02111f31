package run

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/hashicorp/hcl/v2"
	"github.com/zclconf/go-cty/cty"

	"runbook/engine"
	"runbook/engine/lang"
)

// secrets keeps sensitive texts out of everything that is written or shown.
// Each is replaced by a token made of its salted hash, and put back on resume
// once the operator has given the value again.
type secrets struct {
	salt         string
	texts        map[string]bool   // as they were given
	tokens       map[string]string // by text: of each secret, and of each form of it
	hider, shown *strings.Replacer
}

func newSecrets(salt string) *secrets {
	return &secrets{
		salt: salt, texts: map[string]bool{}, tokens: map[string]string{},
		hider: strings.NewReplacer(), shown: strings.NewReplacer(),
	}
}

// hash is the salted hash of a secret's encoding, in hexadecimal.
func (s *secrets) hash(secret string) string {
	sum := sha256.Sum256([]byte(s.salt + "\x00" + secret))
	return hex.EncodeToString(sum[:])
}

// variable adds the secrets of a variable. Programs read and write such as have
// several lines, a key for one, line by line.
func (s *secrets) variable(v cty.Value) {
	texts := lang.SecretsIn(v)
	for _, t := range texts {
		texts = append(texts, linesOf(t)...)
	}
	s.add(texts...)
}

// add adds secrets, with the forms in which others may write them.
func (s *secrets) add(texts ...string) {
	known := len(s.texts)
	for _, t := range texts {
		if s.texts[t] {
			continue
		}
		s.texts[t] = true
		for _, form := range formsOf(t) {
			s.tokens[form] = "((sensitive:" + s.hash(form)[:24] + "))"
		}
	}
	if len(s.texts) == known {
		return
	}
	var there, back []string
	for _, secret := range s.longestFirst() {
		there = append(there, secret, s.tokens[secret])
		back = append(back, s.tokens[secret], secret)
	}
	s.hider, s.shown = strings.NewReplacer(there...), strings.NewReplacer(back...)
}

// list is what actions get of the secrets.
func (s *secrets) list() engine.Secrets {
	var all engine.Secrets
	for _, text := range s.longestFirst() {
		all = append(all, engine.Secret{Text: text, Token: s.tokens[text]})
	}
	return all
}

// longestFirst is the order of replacement: of a secret that is part of
// another one, the rest must not stay.
func (s *secrets) longestFirst() []string {
	return slices.SortedFunc(maps.Keys(s.tokens), func(a, b string) int {
		return cmp.Or(cmp.Compare(len(b), len(a)), cmp.Compare(a, b))
	})
}

// anew are the same secrets, to which others add theirs. What a kept plan has of
// them the run of it has too, by the same tokens.
func (s *secrets) anew() *secrets {
	other := newSecrets(s.salt)
	other.add(slices.Collect(maps.Keys(s.texts))...)
	return other
}

// hide replaces the secrets in a text by their tokens. It looks at the text
// once: a short secret may well be part of a token.
func (s *secrets) hide(text string) string { return s.hider.Replace(text) }

// show replaces the tokens in a text by their secrets.
func (s *secrets) show(text string) string { return s.shown.Replace(text) }

// mask replaces the secrets in a text where nobody has to get them back. It looks
// between the tokens: a short secret may well be part of one.
func (s *secrets) mask(text string) string {
	var pairs []string
	for _, secret := range s.longestFirst() {
		pairs = append(pairs, secret, "(sensitive)")
	}
	masked := strings.NewReplacer(pairs...)
	between := token.Split(text, -1)
	for i, part := range between {
		between[i] = masked.Replace(part)
	}
	return strings.Join(between, "(sensitive)")
}

// token is what stands for a secret that isn't known any more: one that was
// made of others.
var token = regexp.MustCompile(`\(\(sensitive:[0-9a-f]{24}\)\)`)

func (s *secrets) maskDiags(diags hcl.Diagnostics) hcl.Diagnostics {
	for _, d := range diags {
		d.Summary, d.Detail = s.mask(d.Summary), s.mask(d.Detail)
	}
	return diags
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

// rewriteInto is rewrite, decoded into a value of v's type.
func rewriteInto[T any](s *secrets, v T, f func(string) string) (out T, err error) {
	if len(s.tokens) == 0 {
		return v, nil
	}
	raw, err := s.rewrite(v, f)
	if err != nil {
		return v, err
	}
	return out, json.Unmarshal(raw, &out)
}

// rewriteTree leaves keys and times as they are: the record has to be readable
// even if a secret is as common a text as "step" or "2026".
func rewriteTree(v any, f func(string) string) any {
	switch v := v.(type) {
	case string:
		if _, err := time.Parse(time.RFC3339Nano, v); err == nil {
			return v
		}
		return f(v)
	case []any:
		for i := range v {
			v[i] = rewriteTree(v[i], f)
		}
	case map[string]any:
		for k, x := range v {
			v[k] = rewriteTree(x, f)
		}
	}
	return v
}
