package file

import (
	"bytes"
	"context"
	"errors"
	"io"
	"iter"
	"strings"

	"golang.org/x/sys/unix"

	"runbook/engine"
)

// node is one entry of a tree that is compared.
type node struct {
	rel string // below the root
	at  string // where it can be read now
	st  unix.Stat_t
	rights
}

// tree is a walk over nodes, in walk order.
type tree iter.Seq2[node, error]

var errStop = errors.New("the walk is not needed any further")

// worldTree is the tree at root as it will be. Its owners may be others than
// now.
func worldTree(ctx context.Context, w engine.World, root string) tree {
	return func(yield func(node, error) bool) {
		err := w.Walk(ctx, root, func(f engine.PathFact) error {
			n := node{rel: strings.TrimPrefix(f.Path, root)}
			var err error
			if n.at, err = w.Source(ctx, f.Path); err == nil {
				err = lstatInto(n.at, &n.st)
			}
			n.rights = rights{ids: ids{f.UID, f.GID}, Mode: f.Mode}
			return handOver(n, err, yield)
		})
		if err != nil && err != errStop {
			yield(node{}, err)
		}
	}
}

// diskTree is the tree at root as it is.
func diskTree(ctx context.Context, root string) tree {
	return func(yield func(node, error) bool) {
		err := walkTree(ctx, root, true, func(e entry) error {
			n := node{rel: strings.TrimPrefix(e.path, root), at: e.path}
			err := lstatInto(e.path, &n.st)
			n.rights = rights{ids: e.ids, Mode: e.mode & 0o7777}
			return handOver(n, err, yield)
		})
		if err != nil && err != errStop {
			yield(node{}, err)
		}
	}
}

func lstatInto(path string, st *unix.Stat_t) error {
	if err := unix.Lstat(path, st); err != nil {
		return engine.Errorf(path, "lstat: %w", err)
	}
	return nil
}

func handOver(n node, err error, yield func(node, error) bool) error {
	if err != nil {
		return err
	}
	if !yield(n, nil) {
		return errStop
	}
	return nil
}

// sameTree reports whether two trees are equal in names, types, contents,
// owners, modes and extended attributes. Both are walked side by side, so that
// neither has to fit into memory.
func sameTree(ctx context.Context, a, b tree) (bool, error) {
	next, stop := iter.Pull2(iter.Seq2[node, error](b))
	defer stop()
	for x, err := range a {
		if err != nil {
			return false, err
		}
		y, err, ok := next()
		if err != nil || !ok {
			return false, err
		}
		if same, err := sameNode(ctx, x, y); err != nil || !same {
			return false, passVanished(err)
		}
	}
	_, err, more := next()
	return !more, err
}

func sameNode(ctx context.Context, x, y node) (bool, error) {
	kind := x.st.Mode & unix.S_IFMT
	if x.rel != y.rel || kind != y.st.Mode&unix.S_IFMT || x.rights != y.rights || x.st.Rdev != y.st.Rdev {
		return false, nil
	}
	if kind == unix.S_IFLNK {
		return sameLink(x.at, y.at)
	}
	if kind == unix.S_IFREG && x.st.Size != y.st.Size {
		return false, nil
	}
	if same, err := sameAttributes(x.at, y.at); err != nil || !same || kind != unix.S_IFREG {
		return same, err
	}
	return sameContent(ctx, x.at, y.at)
}

func sameLink(a, b string) (bool, error) {
	var x, y [unix.PathMax]byte
	n, err := unix.Readlink(a, x[:])
	if err != nil {
		return false, engine.Errorf(a, "readlink: %w", err)
	}
	m, err := unix.Readlink(b, y[:])
	if err != nil {
		return false, engine.Errorf(b, "readlink: %w", err)
	}
	return string(x[:n]) == string(y[:m]), nil
}

func sameContent(ctx context.Context, a, b string) (bool, error) {
	f, err := openRegular(a)
	if err != nil {
		return false, err
	}
	defer f.Close()
	g, err := openRegular(b)
	if err != nil {
		return false, err
	}
	defer g.Close()
	x, y := make([]byte, 256<<10), make([]byte, 256<<10)
	for ctx.Err() == nil {
		n, err := io.ReadFull(f, x)
		m, err2 := io.ReadFull(g, y)
		if !bytes.Equal(x[:n], y[:m]) {
			return false, nil
		}
		if ended(err) && ended(err2) {
			return true, nil
		}
		if err := errors.Join(err, err2); err != nil {
			return false, &engine.Error{Where: a, Err: err}
		}
	}
	return false, ctx.Err()
}

func ended(err error) bool { return err == io.EOF || err == io.ErrUnexpectedEOF }
