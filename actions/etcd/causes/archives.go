package causes

import (
	"archive/tar"
	"compress/gzip"
	"context"
	"io"
	"strings"

	"runbook/actions/etcd/unseen"
)

const (
	// archivesRead is how many archives are looked into, the newest first,
	// unpackedMost how much of one, and fileMost how large a file in it may be.
	archivesRead = 3
	unpackedMost = 64 << 20
	fileMost     = 1 << 20
)

// archives are the files of /etc in the archives of backups by their paths, as the
// newest archive that has one holds it.
type archives map[string]packed

type packed struct {
	archive string
	text    []byte
}

// readArchives looks into the newest. One that can't be read tells nothing of
// what is in it.
func (l *look) readArchives(ctx context.Context) archives {
	found := archives{}
	for _, path := range l.o.Archives[:min(len(l.o.Archives), archivesRead)] {
		l.unpack(ctx, path, found)
	}
	return found
}

func (l *look) unpack(ctx context.Context, path string, found archives) {
	f, err := unseen.Open(l.at(path))
	if err != nil {
		return
	}
	defer f.Close() // only read from
	zip, err := gzip.NewReader(f)
	if err != nil {
		return
	}
	files := tar.NewReader(io.LimitReader(zip, unpackedMost))
	for ctx.Err() == nil {
		head, err := files.Next()
		if err != nil {
			return
		}
		name := "/" + strings.TrimPrefix(strings.TrimPrefix(head.Name, "./"), "/")
		_, newer := found[name]
		if newer || head.Typeflag != tar.TypeReg || head.Size > fileMost || !strings.HasPrefix(name, "/etc/") {
			continue
		}
		text, err := io.ReadAll(files)
		if err != nil {
			return
		}
		found[name] = packed{archive: path, text: text}
	}
}
