package file

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"os"

	"golang.org/x/sys/unix"

	"runbook/engine"
	"runbook/engine/durable"
)

const regular = unix.S_IFREG

// content is what was read of a file at one moment.
type content struct {
	head string // its beginning, as far as asked for
	size int64
	sum  string // SHA-256 in hexadecimal
}

// readContent reads a regular file to its end, and keeps the first head bytes.
func readContent(ctx context.Context, path string, head int64) (content, error) {
	f, err := openRegular(path)
	if err != nil {
		return content{}, err
	}
	defer f.Close()
	return sumOpen(ctx, f, head)
}

// sumOpen is readContent of an open file.
func sumOpen(ctx context.Context, f *os.File, head int64) (content, error) {
	h := sha256.New()
	start, err := io.ReadAll(io.TeeReader(io.LimitReader(f, head), h))
	size := int64(len(start))
	for err == nil {
		if err = ctx.Err(); err != nil {
			return content{}, err
		}
		var n int64
		n, err = io.CopyN(h, f, 4<<20)
		size += n
	}
	if err != io.EOF {
		return content{}, &engine.Error{Where: f.Name(), Err: err}
	}
	return content{head: string(start), size: size, sum: hex.EncodeToString(h.Sum(nil))}, nil
}

// openRegular opens a file for reading, and nothing that would block or lead
// elsewhere.
func openRegular(path string) (*os.File, error) {
	f, err := durable.Open(path, os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, &engine.Error{Where: path, Err: err}
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = engine.Errorf(path, "is no regular file any more")
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}
