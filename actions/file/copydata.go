package file

import (
	"errors"
	"io"
	"os"

	"golang.org/x/sys/unix"

	"runbook/engine"
)

// chunk is how much is copied between two looks at whether to go on.
const chunk = 8 << 20

// data copies the content of src, and finds out whether it has changed
// meanwhile. The blocks are shared where the file system can do that.
func (c *copier) data(e entry, src, dst *os.File, st unix.Stat_t) error {
	before := c.done
	if st.Size > 0 && unix.IoctlFileClone(int(dst.Fd()), int(src.Fd())) != nil {
		if err := c.ranges(e, src, dst, st.Size); err != nil {
			return err
		}
	}
	c.progress(e, before+st.Size)
	var now unix.Stat_t
	if err := unix.Fstat(int(src.Fd()), &now); err != nil {
		return engine.Errorf(e.path, "stat: %w", err)
	}
	if now.Size != st.Size || now.Mtim != st.Mtim || now.Ctim != st.Ctim {
		return changing(e.path)
	}
	return nil
}

// ranges copies what of src is no hole.
func (c *copier) ranges(e entry, src, dst *os.File, size int64) error {
	if err := dst.Truncate(size); err != nil {
		return c.failed(e, "truncate", errors.Unwrap(err))
	}
	base := c.done
	for at := int64(0); at < size; {
		from, err := unix.Seek(int(src.Fd()), at, unix.SEEK_DATA)
		if errors.Is(err, unix.ENXIO) {
			return nil // nothing but a hole up to the end
		}
		to := size
		if err != nil { // the file system doesn't tell
			from = at
		} else if hole, err := unix.Seek(int(src.Fd()), from, unix.SEEK_HOLE); err == nil {
			to = min(hole, size)
		}
		for at = from; at < to; {
			n, err := c.piece(e, src, dst, at, int(min(to-at, chunk)))
			if err != nil {
				return err
			}
			at += int64(n)
			c.progress(e, base+at)
		}
	}
	return nil
}

// piece copies some of the n bytes at one offset: within the kernel where it
// can, else through a buffer.
func (c *copier) piece(e entry, src, dst *os.File, at int64, n int) (int, error) {
	if err := c.ctx.Err(); err != nil {
		return 0, err
	}
	in, out := at, at
	done, err := unix.CopyFileRange(int(src.Fd()), &in, int(dst.Fd()), &out, n, 0)
	switch {
	case errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT) || errors.Is(err, unix.EIO):
		return 0, c.failed(e, "write", err)
	case err == nil && done > 0:
		return done, nil
	}
	buf := make([]byte, min(n, 1<<20))
	done, err = src.ReadAt(buf, at)
	if done == 0 && err == io.EOF {
		return 0, changing(e.path)
	}
	if err != nil && err != io.EOF {
		return 0, &engine.Error{Where: e.path, Err: err}
	}
	if _, err := dst.WriteAt(buf[:done], at); err != nil {
		return 0, c.failed(e, "write", errors.Unwrap(err))
	}
	return done, nil
}

func (c *copier) progress(e entry, done int64) {
	c.done = done
	// What has grown since the plan must not be more than all.
	c.report.Progress(engine.Progress{Doing: "copying " + e.path, Done: done, Total: max(c.total, done)})
}
