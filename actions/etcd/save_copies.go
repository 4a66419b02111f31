package etcd

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/dustin/go-humanize"
	"github.com/zclconf/go-cty/cty"
	"golang.org/x/sys/unix"

	"runbook/actions/etcd/inspect"
	"runbook/engine"
	"runbook/engine/durable"
)

func checkDirectories(v cty.Value) error {
	for _, dir := range v.AsValueSlice() {
		if dir.IsNull() {
			return errors.New("a directory must not be null")
		}
		if err := checkAbsolute(dir); err != nil {
			return err
		}
	}
	return nil
}

// missing lists the files that are to be made: the snapshot, unless it is there
// already, and the copies that aren't.
func (a *save) missing(ctx context.Context, w engine.World, have *inspect.Info) ([]string, error) {
	var paths []string
	if have == nil {
		paths = append(paths, a.Path)
	}
	places := map[string]bool{filepath.Dir(a.Path): true}
	for _, dir := range a.Copies {
		dir = filepath.Clean(dir)
		if places[dir] {
			return nil, engine.Errorf(dir, "it would hold the snapshot twice, under one name").
				WithHint("A copy is worth something on another disk: name a directory there.").WithAttribute("copies")
		}
		places[dir] = true
		path := filepath.Join(dir, filepath.Base(a.Path))
		there, err := a.copied(ctx, w, path, have)
		if err != nil {
			return nil, err
		}
		if !there {
			paths = append(paths, path)
		}
	}
	for _, path := range paths {
		attribute := "copies"
		if path == a.Path {
			attribute = "path"
		}
		if err := refuseLinked(ctx, w, path, attribute); err != nil {
			return nil, err
		}
	}
	return paths, nil
}

// copied reports whether the copy at path is there already. It refuses to
// replace anything else.
func (a *save) copied(ctx context.Context, w engine.World, path string, have *inspect.Info) (bool, error) {
	dir, err := w.Stat(ctx, filepath.Dir(path))
	if err != nil {
		return false, err
	}
	if dir.Type != engine.TypeDirectory && dir.Type != engine.TypeSymlink {
		return false, engine.Errorf(dir.Path, "it is no directory").
			WithHint("Create it, or mount what it is on, or leave it out of copies.").WithAttribute("copies")
	}
	fact, err := w.Stat(ctx, path)
	if err != nil || !fact.Exists {
		return false, err
	}
	if have != nil && have.Hash != "" {
		info, err := inspectSource(ctx, w, path)
		var damaged *inspect.Damaged
		if err != nil && !errors.As(err, &damaged) {
			return false, err
		}
		if info.Hash == have.Hash {
			return true, nil
		}
	}
	return false, engine.Errorf(path, "there is a file already, and it isn't a copy of the snapshot").
		WithHint("Set path to another name, or move the file away.").WithAttribute("copies")
}

// checkSpace refuses where the files at paths would not fit, as far as it can
// be known how large they will be. It returns the size of one, or 0.
func (a *save) checkSpace(ctx context.Context, w engine.World, paths []string, have *inspect.Info) (int64, error) {
	size, err := a.expectedSize(ctx, w, have)
	if err != nil || size == 0 {
		return 0, err
	}
	need := map[uint64]int64{}
	for _, path := range paths {
		dir, err := w.Stat(ctx, filepath.Dir(path))
		if err != nil {
			return 0, err
		}
		need[dir.Device] += size
		if dir.Free < need[dir.Device] {
			return 0, a.tooFull(dir.Path, need[dir.Device], dir.Free)
		}
	}
	return size, nil
}

// expectedSize is how large a snapshot will be, or 0 where that isn't known: as
// large as the one that is there, or as etcd's database is.
func (a *save) expectedSize(ctx context.Context, w engine.World, have *inspect.Info) (int64, error) {
	if have != nil {
		return have.Size, nil
	}
	if a.DataDir == nil {
		return 0, nil
	}
	fact, err := w.Stat(ctx, filepath.Join(*a.DataDir, "member", "snap", "db"))
	var unknown *engine.UnknownError
	if errors.As(err, &unknown) { // an earlier step will make it
		return 0, nil
	}
	return fact.Size, err
}

// noRoom says that there is no room: no other endpoint helps.
type noRoom struct{ error }

func (e *noRoom) Unwrap() error { return e.error }

func (a *save) tooFull(dir string, need, free int64) error {
	attribute := "copies"
	if filepath.Clean(dir) == filepath.Dir(a.Path) {
		attribute = "path"
	}
	return tooFull(dir, need, free).WithAttribute(attribute)
}

func tooFull(dir string, need, free int64) *engine.Error {
	return engine.Errorf(dir, "the snapshot needs %s, and only %s are free", humanize.IBytes(uint64(need)), humanize.IBytes(uint64(max(free, 0)))).
		WithHint("Make room there (etcd_snapshot_prune deletes old snapshots), or save elsewhere.")
}

// room fails where a snapshot of that size doesn't fit into each place. Plan
// may not have known its size.
func (r saved) room(size int64) error {
	need := map[uint64]int64{}
	for _, f := range r.Files {
		dir := filepath.Dir(f.Path)
		var st unix.Stat_t
		var fs unix.Statfs_t
		if err := errors.Join(unix.Stat(dir, &st), unix.Statfs(dir, &fs)); err != nil {
			return &engine.Error{Where: dir, Err: err}
		}
		need[st.Dev] += size
		if free := int64(fs.Bavail) * fs.Bsize; free < need[st.Dev] {
			return &noRoom{tooFull(dir, need[st.Dev], free)}
		}
	}
	return nil
}

// sameDevice warns where the snapshot would be lost along with the data.
func (a *save) sameDevice(ctx context.Context, w engine.World, path string) (string, error) {
	if a.DataDir == nil {
		return "", nil
	}
	data, err := deviceOf(ctx, w, *a.DataDir)
	if err != nil || data == 0 {
		return "", err
	}
	device, err := deviceOf(ctx, w, filepath.Dir(path))
	if err != nil || device != data {
		return "", err
	}
	return fmt.Sprintf("on the same device as etcd's data in %s: who loses that loses both", *a.DataDir), nil
}

// deviceOf is the device that holds path, or the nearest of its parents that
// exists by now; 0 where that isn't known.
func deviceOf(ctx context.Context, w engine.World, path string) (uint64, error) {
	for path = filepath.Clean(path); ; path = filepath.Dir(path) {
		fact, err := w.Stat(ctx, path)
		var unknown *engine.UnknownError
		if err != nil && !errors.As(err, &unknown) {
			return 0, err
		}
		if fact.Device != 0 || path == filepath.Dir(path) {
			return fact.Device, nil
		}
	}
}

// copyAll makes the copies that the step has to make.
func (a *save) copyAll(ctx context.Context, r saved, rep engine.Reporter) error {
	sum := ""
	for _, f := range r.Files {
		if f.Path == a.Path {
			continue
		}
		if sum == "" {
			var err error
			if sum, err = digest(ctx, a.Path); err != nil {
				return err
			}
		}
		if err := a.copyTo(ctx, f.Path, sum, rep); err != nil {
			return err
		}
	}
	return nil
}

// copyTo makes a copy at path, or finds that an earlier call has made it.
func (a *save) copyTo(ctx context.Context, path, sum string, rep engine.Reporter) error {
	_, err := os.Lstat(path)
	if err == nil {
		return errors.Join(sameDigest(ctx, path, sum), durable.SyncDir(filepath.Dir(path)))
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return &engine.Error{Where: path, Err: err}
	}
	if err := a.copyStream(path+partial, rep); err != nil {
		return err
	}
	rep.Progress(engine.Progress{Doing: "reading back " + path})
	if err := sameDigest(ctx, path+partial, sum); err != nil {
		return err
	}
	return durable.Rename(path+partial, path)
}

func (a *save) copyStream(part string, rep engine.Reporter) error {
	from, err := os.Open(a.Path)
	if err != nil {
		return &engine.Error{Where: a.Path, Err: err}
	}
	defer from.Close() // only read from
	info, err := from.Stat()
	if err != nil {
		return &engine.Error{Where: a.Path, Err: err}
	}
	err = writeStream(part, &reportingReader{r: from, rep: rep, doing: "copying the snapshot to " + filepath.Dir(part), total: info.Size()})
	if err != nil {
		return engine.Errorf(part, "copying the snapshot: %w", err).
			WithHint("The snapshot itself is whole. Put the directory in order, or leave it out of copies.").WithAttribute("copies")
	}
	return nil
}

func sameDigest(ctx context.Context, path, sum string) error {
	got, err := digest(ctx, path)
	if err == nil && got != sum {
		err = engine.Errorf(path, "what is read back is not the snapshot").
			WithHint("Look at the disk that it is on, or move away what somebody else has put there.").WithAttribute("copies")
	}
	return err
}

// digest is the SHA-256 of a file, read from the disk where the kernel lets go
// of what it has in memory.
func digest(ctx context.Context, path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", &engine.Error{Where: path, Err: err}
	}
	defer f.Close()                                         // only read from
	_ = unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_DONTNEED) // it is only advice
	h := sha256.New()
	for err == nil {
		if err = ctx.Err(); err != nil {
			return "", engine.Errorf(path, "reading it was cut short: %w", context.Cause(ctx))
		}
		_, err = io.CopyN(h, f, 4<<20)
	}
	if err != io.EOF {
		return "", &engine.Error{Where: path, Err: err}
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}
