package durable

import (
	"context"
	"crypto/sha256"
	"io"
	"os"

	"golang.org/x/sys/unix"

	"runbook/engine"
)

// The copy is read in blocks, of which a few are on their way. The kernel is
// told to begin with the writing of what is copied, so that the disk works
// beside the processor.
const (
	copyBlock  = 1 << 20
	copyAhead  = 8
	writeAfter = 32 << 20
)

// CopySum fills the new file dst with the first n bytes of src, and returns
// their SHA-256. Where the file system can share the blocks of two files, it
// does, and src is only read for its sum; otherwise each block is read once, and
// summed while it is written. progress is told how many bytes are done.
//
// The content isn't on disk yet: a sync is the caller's to make, once all else
// is written that goes into the file.
func CopySum(ctx context.Context, src, dst *os.File, n int64, progress func(done int64)) ([]byte, error) {
	c := &copying{ctx: ctx, src: src, dst: dst, n: n, progress: progress, shared: share(src, dst, n)}
	sum, err := c.run()
	if err != nil {
		return nil, engine.Errorf(dst.Name(), "copying %s: %w", src.Name(), err)
	}
	return sum, nil
}

// CopyFile is CopySum to a new file at path, which must not exist.
func CopyFile(ctx context.Context, src *os.File, path string, n int64, progress func(done int64)) ([]byte, error) {
	dst, err := Open(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, &engine.Error{Where: path, Err: err}
	}
	sum, err := CopySum(ctx, src, dst, n, progress)
	if closed := dst.Close(); err == nil && closed != nil {
		err = engine.Errorf(path, "copying %s: %w", src.Name(), closed)
	}
	return sum, err
}

// share makes dst of src's first n bytes without copying them, if the file
// system can.
func share(src, dst *os.File, n int64) bool {
	return unix.IoctlFileClone(int(dst.Fd()), int(src.Fd())) == nil && dst.Truncate(n) == nil
}

type copying struct {
	ctx      context.Context
	src, dst *os.File
	n        int64
	progress func(int64)
	shared   bool // dst has it all already
}

// run reads and writes here and sums on another thread.
func (c *copying) run() ([]byte, error) {
	free, read := make(chan []byte, copyAhead), make(chan []byte, copyAhead)
	for range copyAhead {
		free <- make([]byte, copyBlock)
	}
	sum := make(chan []byte, 1)
	go func() {
		h := sha256.New()
		done := int64(0)
		for b := range read {
			h.Write(b)
			done += int64(len(b))
			c.progress(done)
			free <- b[:copyBlock]
		}
		sum <- h.Sum(nil)
	}()
	err := c.blocks(free, read)
	close(read)
	return <-sum, err
}

func (c *copying) blocks(free <-chan []byte, read chan<- []byte) error {
	begun := int64(0) // up to where the kernel was told to write
	for at := int64(0); at < c.n; {
		if err := c.ctx.Err(); err != nil {
			return err
		}
		b := <-free
		b = b[:min(copyBlock, c.n-at)]
		if _, err := io.ReadFull(c.src, b); err != nil {
			return err
		}
		// The block comes back once it is summed, and has to be written then.
		if !c.shared {
			if _, err := c.dst.WriteAt(b, at); err != nil {
				return err
			}
		}
		read <- b
		at += int64(len(b))
		if !c.shared && at-begun >= writeAfter {
			// A hint: what is on disk, SyncFile says.
			_ = unix.SyncFileRange(int(c.dst.Fd()), begun, at-begun, unix.SYNC_FILE_RANGE_WRITE)
			begun = at
		}
	}
	return nil
}

// SyncFile makes the contents of the file at path durable, whoever wrote them.
func SyncFile(path string) error { return syncFile(path) }
