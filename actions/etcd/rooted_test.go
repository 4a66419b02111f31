package etcd

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"runbook/engine"
)

// rooted is a host whose files are below a directory. A path that is below it
// already stays what it is.
type rooted struct {
	engine.World
	dir string
}

func (r rooted) at(path string) string {
	if strings.HasPrefix(path, r.dir) {
		return path
	}
	return filepath.Join(r.dir, path)
}

func (r rooted) Source(_ context.Context, path string) (string, error) {
	if _, err := os.Lstat(r.at(path)); errors.Is(err, fs.ErrNotExist) {
		return "", &engine.Error{Where: path, Err: fs.ErrNotExist}
	}
	return r.at(path), nil
}

func (r rooted) Stat(ctx context.Context, path string) (engine.PathFact, error) {
	return testHost.Stat(ctx, r.at(path), false, nil)
}

// write puts files below a directory, by their paths.
func write(t *testing.T, dir string, files map[string]string) {
	t.Helper()
	for path, text := range files {
		path = filepath.Join(dir, path)
		must(t, os.MkdirAll(filepath.Dir(path), 0o755))
		must(t, os.WriteFile(path, []byte(text), 0o600))
	}
}

// readIn reads a data source on a host whose files are below dir.
func readIn(t *testing.T, dir, source string, a attrs) (engine.Result, error) {
	t.Helper()
	reg := engine.Registry{Data: Data()}
	spec, ok := reg.DataSource(source)
	if !ok {
		t.Fatalf("no data source %s", source)
	}
	src := spec.New()
	must(t, engine.DecodeConfig(spec.Attributes, config(t, spec.Attributes, a), src))
	res, err := src.Read(t.Context(), rooted{dir: dir})
	if err == nil {
		if _, err := engine.ResultValue(spec.Results, res, false); err != nil {
			t.Errorf("%s: %v", source, err)
		}
	}
	return res, err
}
