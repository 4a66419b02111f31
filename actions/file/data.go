package file

import (
	"context"
	"path/filepath"
	"time"

	"github.com/zclconf/go-cty/cty"

	"runbook/engine"
)

// maxContent is up to which size a file's content is handed to expressions.
// It is recorded in the journal of the run.
const maxContent = 1 << 20

var dataSpec = engine.DataSpec{
	Name: "file",
	Doc: "Reads a file or tells of a directory, once when the run begins. " +
		"Nothing being there is no error. " +
		"What is read is recorded in the run's journal, so a file that holds secrets is better left to the programs that need it; " +
		"its facts alone are told by the function path.",
	Attributes: []engine.Attribute{
		{Name: "path", Type: cty.String, Required: true, Check: checkPath,
			Doc: "Absolute path. Of a symbolic link, the link itself is described."},
	},
	Results: []engine.Attribute{
		{Name: "exists", Type: cty.Bool, Doc: "Whether anything is there. Where nothing is, all else is null."},
		{Name: "type", Type: cty.String, Doc: "file, directory, symlink or other."},
		{Name: "content", Type: cty.String, Doc: "The content of a file of text, up to 1 MiB; null for all else."},
		{Name: "sha256", Type: cty.String, Doc: "The digest of a file's content in hexadecimal; null for all else."},
		{Name: "owner", Type: cty.String, Doc: "User name, or the number where there is none."},
		{Name: "group", Type: cty.String, Doc: "Group name, or the number where there is none."},
		{Name: "mode", Type: cty.String, Doc: "Permissions in octal, such as 0644."},
		{Name: "size", Type: cty.Number, Doc: "Size in bytes; of a directory itself, not of what is in it."},
		{Name: "modified", Type: cty.String, Doc: "When it was last written, as RFC 3339."},
	},
	Example: `data "file" "environment" {
  path = "/etc/default/etcd"
}`,
	New: func() engine.DataSource { return new(data) },
}

type data struct {
	Path string `cty:"path"`
}

var _ engine.DataSource = (*data)(nil)

// Read implements engine.DataSource.
func (d *data) Read(ctx context.Context, w engine.World) (engine.Result, error) {
	path := filepath.Clean(d.Path)
	f, err := w.Stat(ctx, path)
	if err != nil || !f.Exists {
		return engine.Result{"exists": false}, err
	}
	res := engine.Result{
		"exists": true, "type": f.Type, "owner": f.Owner, "group": f.Group, "mode": modeText(f.Mode),
		"size": f.Size, "modified": f.ModTime.UTC().Format(time.RFC3339),
	}
	if f.Type != engine.TypeFile {
		return res, nil
	}
	return res, addContent(ctx, path, res)
}

// addContent adds what is read of a file. The size is that of what was read,
// even if the file has grown since.
func addContent(ctx context.Context, path string, res engine.Result) error {
	c, err := readContent(ctx, path, maxContent)
	if err != nil {
		return err
	}
	res["sha256"], res["size"] = c.sum, c.size
	if c.size == int64(len(c.head)) && isReadable(c.head) {
		res["content"] = c.head
	}
	return nil
}
