package inspect

import (
	"context"
	"fmt"
	"os"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sync/singleflight"
)

// state tells whether a file is as it was: any change of its content or its
// owner gives it another time of change, which nobody can set.
type state struct {
	path           string
	device, inode  uint64
	size           int64
	modified, last syscall.Timespec
}

// settled is how long a file has to be unchanged for its times to tell: the
// kernel's clock for them is coarse.
const settled = time.Second

// stateOf returns the state of the file at path. ok is false where it can't
// be told, or is too young to be told from the next.
func stateOf(path string) (s state, ok bool) {
	info, err := os.Stat(path)
	if err != nil {
		return s, false
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return s, false
	}
	s = state{path: path, device: st.Dev, inode: st.Ino, size: st.Size, modified: st.Mtim, last: st.Ctim}
	age := time.Since(time.Unix(st.Ctim.Unix()))
	return s, age > settled
}

// known are the sound files that this process has looked at.
var known = struct {
	sync.Mutex
	files map[state]Info
}{files: map[state]Info{}}

// looks are those that are under way.
var looks singleflight.Group

// Again is File for looks whose result decides about no data: while planning, a
// snapshot is looked at by the data sources that find it, maybe at the same time,
// and by every plan of every step that takes it. A file that hasn't changed since
// this process has checked it completely isn't read again.
func Again(ctx context.Context, path string) (Info, error) {
	before, ok := stateOf(path)
	if !ok {
		return File(ctx, path)
	}
	info, err, _ := looks.Do(fmt.Sprint(before), func() (any, error) { return once(ctx, before) })
	return info.(Info), err
}

// once looks at a file, unless it is known as it is.
func once(ctx context.Context, before state) (Info, error) {
	known.Lock()
	info, found := known.files[before]
	known.Unlock()
	if found {
		return info, nil
	}
	info, err := File(ctx, before.path)
	if err != nil {
		return info, err
	}
	if after, _ := stateOf(before.path); after == before {
		known.Lock()
		known.files[before] = info
		known.Unlock()
	}
	return info, nil
}
