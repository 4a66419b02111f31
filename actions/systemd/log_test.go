package systemd

import (
	"encoding/json"
	"strings"
	"testing"
)

// A start that fails and one that follows it, as a busy journal tells of them: what
// the first said is taken for the next one's, or for nobody's, where its process
// had ended.
func TestUntilFailure(t *testing.T) {
	said := func(text, by string) entry {
		return entry{Message: json.RawMessage(`"` + text + `"`), Speaker: by}
	}
	failed := entry{Message: json.RawMessage(`"Failed."`), MessageID: failedWithResult, Failed: "first"}
	for name, c := range map[string]struct {
		all  []entry
		want string
	}{
		"by itself":      {[]entry{said("no room", "first"), failed, said("again", "second")}, "no room"},
		"by nobody":      {[]entry{said("no room", ""), failed, said("again", "second")}, "no room"},
		"by the next":    {[]entry{said("no room", "second"), failed, said("again", "second")}, "no room"},
		"told late":      {[]entry{failed, said("no room", "first"), said("again", "second")}, "no room"},
		"late, nobody's": {[]entry{failed, said("no room", ""), said("again", "second")}, "no room"},
		"no failure yet": {[]entry{said("old", "zeroth"), said("no room", "first")}, "no room"},
		"bytes":          {[]entry{{Message: json.RawMessage(`[110, 111, 10]`), Speaker: "first"}, failed}, "no\n"},
	} {
		var got []string
		for _, e := range untilFailure(c.all, "first") {
			got = append(got, string(message(e.Message)))
		}
		if strings.Join(got, "|") != c.want {
			t.Errorf("%s: got %q, want %q", name, got, c.want)
		}
	}
}
