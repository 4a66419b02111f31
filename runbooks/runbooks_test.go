package runbooks_test

import (
	"testing"

	"runbook/engine/lang"
	"runbook/runbooks"
)

// The shipped runbooks are laid out as `runbook fmt` does it.
func TestFormatted(t *testing.T) {
	for _, name := range runbooks.Names() {
		text, err := runbooks.FS.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		formatted, err := lang.Format(lang.Source{Name: name, Text: string(text)})
		if err != nil || formatted != string(text) {
			t.Errorf("%s is not formatted: run `runbook fmt` on it (%v)", name, err)
		}
	}
}
