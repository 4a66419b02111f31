package file

import (
	"fmt"

	"github.com/zclconf/go-cty/cty"

	"runbook/engine"
)

var extractSpec = engine.Spec{
	Name: "archive_extract",
	Doc: "Puts files and directories back from a compressed archive (tar.gz), such as the action archive makes. " +
		"The archive is read to its end, and has to be whole. Owner, mode and time come from it; an owner goes by name where this host knows it, as with tar. " +
		"Each file is written under another name, synced and put in place in one atomic operation; what was there is kept as `.NAME.replaced-RUN`, and undoing the step brings it back. " +
		"Where content, mode and owner are so already, there is nothing to do. " +
		"Of a directory that is there, what is missing or differs is put back; the directory itself stays as it is, and so does what the archive doesn't hold. " +
		"It is for certificates and configuration: links, special files, names that lead elsewhere (absolute, or with \"..\") and more than 64 MiB are refused. " +
		"The plan shows differences as that of write_file does.",
	Attributes: []engine.Attribute{
		{Name: "archive", Type: cty.String, Required: true, Check: checkPath, Doc: "Absolute path of the archive."},
		{Name: "files", Type: cty.List(cty.String), Required: true, Check: checkPaths,
			Doc: "Absolute paths of the files and directories, as they were when they were packed."},
		{Name: "to", Type: cty.Map(cty.String), Check: checkDestinations,
			Doc: "Other paths to put them at, by their names in files. Their directories have to exist."},
		{Name: "missing_only", Type: cty.Bool, Default: cty.False, Doc: "Whether what is there stays as it is, and only what is missing is put back."},
	},
	Results: []engine.Attribute{
		{Name: "paths", Type: cty.List(cty.String), Doc: "What was put back; empty where nothing had to be done."},
		{Name: "kept", Type: cty.List(cty.String), Doc: "Where what was replaced is kept."},
	},
	Example: `step "archive_extract" "server_certificate" {
  archive = "/var/backups/etcd/backup-20261130-201500-abcd.tar.gz"
  files   = ["/etc/kubernetes/pki/etcd/server.crt", "/etc/kubernetes/pki/etcd/server.key"]
}`,
	New: func() engine.Action { return new(extract) },
}

type extract struct {
	Archive     string            `cty:"archive"`
	Files       []string          `cty:"files"`
	To          map[string]string `cty:"to"`
	MissingOnly bool              `cty:"missing_only"`
}

var _ engine.Action = (*extract)(nil)

func checkDestinations(v cty.Value) error {
	for name, path := range v.AsValueMap() {
		if path.IsNull() {
			return fmt.Errorf("%s needs a path", name)
		}
		if err := checkPath(path); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	return nil
}

// extracted is archive_extract's record. What is in the files isn't in it: each
// call has it from the archive, which has to be the same.
type extracted struct {
	Archive string    `json:"archive"`
	Sum     string    `json:"sum"` // of the archive
	Places  []putBack `json:"places"`
}

// putBack is one file, or a directory with all below it, that is put in place.
type putBack struct {
	place
	Name string `json:"name"` // in the archive
}
