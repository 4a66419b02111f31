package file

import (
	"context"

	"runbook/engine"
)

// ownership is chown's record: its target, and whom everything belonged to.
type ownership struct {
	Path      string `json:"path"`
	Inode     uint64 `json:"inode,omitempty"` // of Path
	Recursive bool   `json:"recursive,omitempty"`
	To        ids    `json:"to"`
	Log       []byte `json:"log"` // what an ownerLog wrote
	// Links are the files of several names, all of them in the tree: by their
	// inode, how many that are.
	Links map[uint64]uint32 `json:"links,omitempty"`
}

type ids struct {
	UID int `json:"uid"`
	GID int `json:"gid"`
}

// walk is walkTree over the very thing that was planned with. Whoever owns a
// parent directory may have put a link to elsewhere in its place.
func (o ownership) walk(ctx context.Context, fn func(entry) error) error {
	return walkTree(ctx, o.Path, o.Recursive, func(e entry) error {
		if e.path == o.Path && o.Inode != 0 && e.Inode != o.Inode {
			return engine.Errorf(o.Path, "something else is here than when the step was planned").
				WithHint("Look who has replaced it (it was the inode %d). Nothing was changed.", o.Inode)
		}
		return fn(e)
	})
}

// walkOrder reports whether a walk comes to path a before path b: a directory
// comes before its content, and its content before its next sibling. That is
// byte order with the slash before all else.
func walkOrder(a, b string) bool {
	for i := 0; i < min(len(a), len(b)); i++ {
		if a[i] == b[i] {
			continue
		}
		if a[i] == '/' || b[i] == '/' {
			return a[i] == '/'
		}
		return a[i] < b[i]
	}
	return len(a) < len(b)
}
