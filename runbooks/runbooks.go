// Package runbooks embeds the runbooks that come with the binary.
package runbooks

import (
	"embed"
	"strings"
)

// FS holds the shipped runbooks.
//
//go:embed *.hcl
var FS embed.FS

// Names lists the shipped runbooks for messages.
func Names() string {
	entries, err := FS.ReadDir(".")
	if err != nil {
		panic(err) // an embedded directory can always be read
	}
	names := make([]string, len(entries))
	for i, e := range entries {
		names[i] = e.Name()
	}
	return strings.Join(names, ", ")
}
