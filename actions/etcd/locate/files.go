package locate

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"time"

	"runbook/actions/etcd/unseen"
	"runbook/engine"
)

// Files is the part of engine.World that tells where what is at a path can be
// read now.
type Files interface {
	Source(ctx context.Context, path string) (string, error)
}

// most is how much is read of a file: what configures etcd is smaller by far.
const most = 4 << 20

// ReadSource reads what will be at path, following symbolic links.
func ReadSource(ctx context.Context, files Files, path string) ([]byte, error) {
	now, err := files.Source(ctx, path)
	if err != nil {
		return nil, err
	}
	data, err := unseen.ReadFile(now, most)
	if err != nil {
		return nil, &engine.Error{Where: path, Err: err}
	}
	return data, nil
}

// ReadFile is ReadSource for a file that somebody has named: attribute is the
// one at fault where there is nothing.
func ReadFile(ctx context.Context, files Files, path, attribute string) ([]byte, error) {
	data, err := ReadSource(ctx, files, path)
	var unknown *engine.UnknownError
	if err == nil || errors.As(err, &unknown) {
		return data, err
	}
	return nil, engine.Errorf(path, "reading it: %w", rootCause(err)).
		WithHint("Name a file that exists and that this user may read.").WithAttribute(attribute)
}

// rootCause is the innermost error, without the paths around it.
func rootCause(err error) error {
	for {
		next := errors.Unwrap(err)
		if next == nil {
			return err
		}
		err = next
	}
}

// look is one look around a host. What can't be read is told and passed over:
// on a host in trouble the rest still counts.
type look struct {
	files   Files
	told    []string
	unknown error // the first thing that an earlier step may change
}

// tell notes what something at a path has told.
func (l *look) tell(where, format string, args ...any) {
	l.told = append(l.told, where+": "+fmt.Sprintf(format, args...))
}

// fault notes what is wrong with what is at a path.
func (l *look) fault(where string, err error) {
	text := err.Error()
	if !strings.HasPrefix(text, where+": ") {
		text = where + ": " + text
	}
	l.told = append(l.told, text)
}

// failed notes why something couldn't be looked at. That there is nothing is
// no failure.
func (l *look) failed(path string, err error) {
	var unknown *engine.UnknownError
	switch {
	case errors.As(err, &unknown):
		l.unknown = errors.Join(l.unknown, err)
	case !errors.Is(err, fs.ErrNotExist):
		l.tell(path, "it can't be read: %v", rootCause(err))
	}
}

// read is the content of the file at path; empty where there is none.
func (l *look) read(ctx context.Context, path string) []byte {
	data, err := ReadSource(ctx, l.files, path)
	if err != nil {
		l.failed(path, err)
		return nil
	}
	return data
}

// list is what a directory holds, in the order of the names.
func (l *look) list(ctx context.Context, dir string) []fs.DirEntry {
	now, err := l.files.Source(ctx, dir)
	if err == nil {
		var entries []fs.DirEntry
		if entries, err = unseen.ReadDir(now); err == nil {
			return entries
		}
	}
	l.failed(dir, err)
	return nil
}

// changed is when what is at path was last written; never where there is
// nothing.
func (l *look) changed(ctx context.Context, path string) time.Time {
	now, err := l.files.Source(ctx, path)
	if err == nil {
		var info fs.FileInfo
		if info, err = os.Stat(now); err == nil {
			return info.ModTime()
		}
	}
	l.failed(path, err)
	return time.Time{}
}

func (l *look) exists(ctx context.Context, path string) bool { return !l.changed(ctx, path).IsZero() }

// first is the first of paths at which there is something; empty where there is
// nothing at any.
func (l *look) first(ctx context.Context, paths ...string) string {
	for _, path := range paths {
		if l.exists(ctx, path) {
			return path
		}
	}
	return ""
}
