package engine

import (
	"context"
	"strings"
)

// A Secret is a sensitive text, and what stands for it wherever it is written
// or shown.
type Secret struct {
	Text  string `json:"text"`
	Token string `json:"token"`
}

// Secrets are those of a run, the longest first. An action that keeps texts of
// its own, or cuts them, has them in its context.
type Secrets []Secret

type secretsKey struct{}

// WithSecrets returns ctx with the run's secrets.
func WithSecrets(ctx context.Context, s Secrets) context.Context {
	return context.WithValue(ctx, secretsKey{}, s)
}

// SecretsOf returns the run's secrets.
func SecretsOf(ctx context.Context) Secrets {
	s, _ := ctx.Value(secretsKey{}).(Secrets)
	return s
}

// Hide replaces the secrets in a text by their tokens. It looks at the text
// once: a short secret may well be part of a token.
func (s Secrets) Hide(text string) string {
	return s.replacer(func(x Secret) (string, string) { return x.Text, x.Token }).Replace(text)
}

// Show replaces the tokens in a text by their secrets.
func (s Secrets) Show(text string) string {
	return s.replacer(func(x Secret) (string, string) { return x.Token, x.Text }).Replace(text)
}

func (s Secrets) replacer(pair func(Secret) (from, to string)) *strings.Replacer {
	pairs := make([]string, 0, 2*len(s))
	for _, x := range s {
		from, to := pair(x)
		pairs = append(pairs, from, to)
	}
	return strings.NewReplacer(pairs...)
}

// Longest is the length of the longest secret, in bytes.
func (s Secrets) Longest() int {
	if len(s) == 0 {
		return 0
	}
	return len(s[0].Text)
}

// Cut returns at most the first n bytes of a text, and fewer where that would
// be through a secret, half of which couldn't be told from any other text. It
// reports whether something is missing.
func (s Secrets) Cut(text string, n int) (string, bool) {
	if len(text) <= n {
		return text, false
	}
	for n > 0 {
		at := s.begin(text, n)
		if at == n {
			break
		}
		n = at
	}
	return strings.ToValidUTF8(text[:n], ""), true
}

// CutHead is Cut that leaves the last n bytes.
func (s Secrets) CutHead(text string, n int) string {
	if len(text) <= n {
		return text
	}
	for from := len(text) - n; ; {
		next := from
		for _, x := range s {
			if at := s.across(text, x.Text, next); at >= 0 {
				next = at + len(x.Text)
			}
		}
		if next == from {
			return strings.ToValidUTF8(text[from:], "")
		}
		from = next
	}
}

// begin is where the first secret begins that lies across n; n where none does.
func (s Secrets) begin(text string, n int) int {
	first := n
	for _, x := range s {
		if at := s.across(text, x.Text, n); at >= 0 && at < first {
			first = at
		}
	}
	return first
}

// across is where secret begins and goes on beyond n; -1 where it nowhere does.
func (s Secrets) across(text, secret string, n int) int {
	from := max(0, n-len(secret)+1)
	to := min(len(text), n+len(secret)-1)
	if from >= to {
		return -1
	}
	at := strings.Index(text[from:to], secret)
	if at < 0 {
		return -1
	}
	return from + at
}
