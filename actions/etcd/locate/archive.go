package locate

import (
	"archive/tar"
	"compress/gzip"
	"context"
	"errors"
	"io"
	"strings"
	"time"

	"runbook/actions/etcd/unseen"
)

const (
	// archivesRead is how many archives are looked into, the newest first, and
	// unpacked how much of one: Kubernetes' own directory is far smaller.
	archivesRead = 3
	unpacked     = 64 << 20
)

// archived reads the manifest that should be at path from the newest archive
// that has a readable one, and tells when it was written; nil where none has.
func (l *look) archived(ctx context.Context, archives []string, path string) (*Starter, time.Time) {
	for _, archive := range archives[:min(len(archives), archivesRead)] {
		text, written, err := l.packed(ctx, archive, path)
		if err != nil {
			l.failed(archive, err)
			continue
		}
		s, err := parseManifest(text, path, archive)
		if err == nil {
			l.tell(archive, "it holds a copy of %s", path)
			return s, written
		}
	}
	return nil, time.Time{}
}

// packed is the content of a file in an archive, and when it was written; empty
// where it isn't in it.
func (l *look) packed(ctx context.Context, archive, path string) ([]byte, time.Time, error) {
	never := time.Time{}
	now, err := l.files.Source(ctx, archive)
	if err != nil {
		return nil, never, err
	}
	f, err := unseen.Open(now)
	if err != nil {
		return nil, never, err
	}
	defer f.Close() // only read from
	zip, err := gzip.NewReader(f)
	if err != nil {
		return nil, never, err
	}
	files := tar.NewReader(io.LimitReader(zip, unpacked))
	for {
		head, err := files.Next()
		if errors.Is(err, io.EOF) {
			return nil, never, ctx.Err()
		}
		if err != nil {
			return nil, never, err
		}
		if head.Name == strings.TrimPrefix(path, "/") {
			text, err := io.ReadAll(io.LimitReader(files, most))
			return text, head.ModTime, err
		}
	}
}

// Archived reads the manifest that should be at path from the newest of the
// archives in the directories that has a readable one; nil where none has.
func Archived(ctx context.Context, files Files, dirs []string, path string) *Starter {
	l := &look{files: files}
	s, _ := l.archived(ctx, l.archives(ctx, dirs), path)
	return s
}
