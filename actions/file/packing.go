package file

import (
	"archive/tar"
	"bufio"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"runbook/engine"
	"runbook/engine/durable"
)

// packing is what an archive is made of.
type packing struct {
	roots   []root
	exclude map[string]bool
}

// root is a file or a directory to be packed under its name, which an earlier
// step may only move it to; it is at another path until then.
type root struct{ name, at string }

// sourceHere is where the content of path is on the host as it is.
func sourceHere(_ context.Context, path string) (string, error) {
	_, err := os.Lstat(path)
	return path, err
}

// each calls fn for everything that is packed, in order. Sockets, pipes and
// devices hold nothing that could be.
func (p packing) each(ctx context.Context, fn func(name string, e entry, info fs.FileInfo) error) error {
	for _, r := range p.roots {
		e, err := openAt(r.at)
		if err != nil {
			return engine.Errorf(r.at, "open: %w", err)
		}
		if err := errors.Join(p.below(ctx, e, r.name, fn), unix.Close(e.fd)); err != nil {
			return err
		}
	}
	return nil
}

// below calls fn for e and what is below it. Every name is looked up in its
// open directory: nobody who can write there can lead the walk elsewhere.
func (p packing) below(ctx context.Context, e entry, name string, fn func(string, entry, fs.FileInfo) error) error {
	kind := e.mode & unix.S_IFMT
	if p.exclude[name] || kind != unix.S_IFDIR && kind != unix.S_IFREG && kind != unix.S_IFLNK {
		return nil
	}
	info, err := e.info()
	if err == nil {
		err = ctx.Err()
	}
	if err != nil {
		return &engine.Error{Where: e.path, Err: err}
	}
	if err := fn(name, e, info); err != nil || kind != unix.S_IFDIR {
		return err
	}
	children, err := e.list()
	if err != nil {
		return &engine.Error{Where: e.path, Err: err}
	}
	for _, child := range children {
		c, err := openEntry(e.fd, child, e.childPath(child))
		if err != nil {
			return &engine.Error{Where: e.childPath(child), Err: err}
		}
		if err := errors.Join(p.below(ctx, c, filepath.Join(name, child), fn), unix.Close(c.fd)); err != nil {
			return err
		}
	}
	return nil
}

func (p packing) size(ctx context.Context) (int64, error) {
	var size int64
	err := p.each(ctx, func(_ string, _ entry, info fs.FileInfo) error {
		if info.Mode().IsRegular() {
			size += info.Size()
		}
		return nil
	})
	return size, err
}

// write writes the archive, uncompressed.
func (p packing) write(ctx context.Context, to io.Writer, done func(int64)) error {
	out := tar.NewWriter(to)
	err := p.each(ctx, func(name string, e entry, info fs.FileInfo) error {
		head, err := header(name, e, info)
		if err == nil {
			err = out.WriteHeader(head)
		}
		if err != nil {
			return engine.Errorf(e.path, "packing: %w", err)
		}
		if !info.Mode().IsRegular() {
			return nil
		}
		done(info.Size())
		return packContent(out, e, info)
	})
	return errors.Join(err, out.Close())
}

func header(name string, e entry, info fs.FileInfo) (*tar.Header, error) {
	link := ""
	if info.Mode()&fs.ModeSymlink != 0 {
		buf := make([]byte, unix.PathMax)
		n, err := unix.Readlinkat(e.fd, "", buf)
		if err != nil {
			return nil, err
		}
		link = string(buf[:n])
	}
	head, err := tar.FileInfoHeader(info, link)
	if err != nil {
		return nil, err
	}
	head.Name = strings.TrimPrefix(name, "/")
	if info.IsDir() {
		head.Name += "/"
	}
	head.Format = tar.FormatPAX
	head.AccessTime, head.ChangeTime = time.Time{}, time.Time{} // they say nothing of what is packed
	return head, nil
}

// packContent packs the content of a file, of which nothing may be missing.
func packContent(out io.Writer, e entry, info fs.FileInfo) error {
	at := e.path
	f, err := os.OpenFile(e.procPath(), os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return engine.Errorf(at, "open: %w", errors.Unwrap(err))
	}
	defer f.Close() // only read from
	_, err = io.CopyN(out, f, info.Size())
	now, statErr := f.Stat()
	if statErr == nil && (errors.Is(err, io.EOF) || now.Size() != info.Size() || !now.ModTime().Equal(info.ModTime())) {
		return engine.Errorf(at, "it was changed while it was packed").WithHint("Try again once nobody writes to it.")
	}
	if err = errors.Join(err, statErr); err != nil {
		return engine.Errorf(at, "packing: %w", err)
	}
	return nil
}

// digest is the SHA-256 of the archive, uncompressed.
func (p packing) digest(ctx context.Context) (string, error) {
	h := sha256.New()
	err := p.write(ctx, h, func(int64) {})
	return hex.EncodeToString(h.Sum(nil)), err
}

// stage writes the archive to a new file, durably, and reads it back.
func (p packing) stage(ctx context.Context, path, mark string, total int64, rep engine.Reporter) error {
	h, done := sha256.New(), int64(0)
	err := durable.Create(path, func(f *os.File) error {
		buffered := bufio.NewWriter(f)
		zip := gzip.NewWriter(buffered)
		zip.Comment = mark
		err := p.write(ctx, io.MultiWriter(zip, h), func(n int64) {
			rep.Progress(engine.Progress{Doing: "packing", Done: done, Total: max(total, done)})
			done += n
		})
		if err = errors.Join(err, zip.Close(), buffered.Flush()); err != nil {
			return engine.Errorf(path, "writing the archive: %w", err)
		}
		return nil
	})
	if err != nil {
		return err
	}
	return back{sum: hex.EncodeToString(h.Sum(nil)), mark: mark}.same(ctx, path)
}

// back is what is read back of an archive.
type back struct{ sum, mark string }

// readBack reads all of an archive. The error says that it isn't whole, or no
// archive.
func readBack(ctx context.Context, path string) (back, error) {
	f, err := openRegular(path)
	if err != nil {
		return back{}, err
	}
	defer f.Close() // only read from
	zip, err := gzip.NewReader(bufio.NewReader(f))
	if err != nil {
		return back{}, err
	}
	h := sha256.New()
	for err == nil {
		if err = ctx.Err(); err == nil {
			_, err = io.CopyN(h, zip, 4<<20)
		}
	}
	if err != io.EOF {
		return back{}, err
	}
	return back{sum: hex.EncodeToString(h.Sum(nil)), mark: zip.Comment}, nil
}
