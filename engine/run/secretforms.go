package run

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"net/url"
	"strconv"
	"strings"
)

const (
	// A line that is as short is as likely to be no secret: "}", "type: kv".
	shortestLine = 16
	// Of less than so many bytes the encodings are found in any text.
	shortestEncoded = 6
	// More than so many are hardly a password or a key. Where such a text is
	// encoded, it is a runbook that does so, and its result is known.
	longestEncoded = 4096
	mostLines      = 64 << 10
)

// linesOf are the lines of a text of several, without what they are indented by.
func linesOf(text string) []string {
	if len(text) > mostLines || !strings.Contains(strings.TrimSpace(text), "\n") {
		return nil
	}
	var lines []string
	for line := range strings.Lines(text) {
		if line = strings.TrimSpace(line); len(line) >= shortestLine {
			lines = append(lines, line)
		}
	}
	return lines
}

// formsOf are a secret and what it looks like in errors, in JSON, in a shell's
// quotes, in a URL, in hexadecimal and in base64.
func formsOf(secret string) []string {
	forms := []string{secret, inner(strconv.Quote(secret)), jsonForm(secret), strings.ReplaceAll(secret, "'", `'\''`)}
	if len(secret) < shortestEncoded || len(secret) > longestEncoded {
		return forms
	}
	digits := hex.EncodeToString([]byte(secret))
	forms = append(forms, url.QueryEscape(secret), url.PathEscape(secret), digits, strings.ToUpper(digits))
	for before := range 3 {
		forms = append(forms, base64Form(base64.RawStdEncoding, secret, before), base64Form(base64.RawURLEncoding, secret, before))
	}
	return forms
}

func inner(quoted string) string { return quoted[1 : len(quoted)-1] }

func jsonForm(secret string) string {
	raw, err := json.Marshal(secret)
	if err != nil { // of a string there is none
		return secret
	}
	return inner(string(raw))
}

// base64Form is what a secret makes of base64 in which a number of bytes, not
// divided by three, comes before it, a user's name for one. The digits that
// depend on what is around it are left out.
func base64Form(enc *base64.Encoding, secret string, before int) string {
	text := enc.EncodeToString(append(make([]byte, before), secret...))
	from := (before*8 + 5) / 6
	to := (before + len(secret)) * 8 / 6
	return text[from:to]
}
