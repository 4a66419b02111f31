// Package runbooks embeds the runbooks that come with the binary.
package runbooks

import (
	"embed"
	"io/fs"
)

// FS holds the shipped runbooks.
//
//go:embed *.hcl drills/*.hcl recover/*.hcl
var FS embed.FS

// Names lists the shipped runbooks.
func Names() []string {
	var names []string
	err := fs.WalkDir(FS, ".", func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			names = append(names, path)
		}
		return err
	})
	if err != nil {
		panic(err) // an embedded directory can always be read
	}
	return names
}
