package file

import (
	"archive/tar"
	"bufio"
	"compress/flate"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os/user"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/dustin/go-humanize"

	"runbook/engine"
)

// What is taken out of an archive is held in memory, which a host in trouble may
// have little of.
const (
	maxUnpacked = 64 << 20
	maxMembers  = 10_000
)

// unpacked is what was taken out of an archive.
type unpacked struct {
	sum      string             // SHA-256 of the archive itself
	members  map[string]*member // by their absolute paths
	children map[string][]string
	size     int64
}

// member is a file or a directory of an archive.
type member struct {
	name    string
	head    *tar.Header
	content []byte
}

func (m *member) dir() bool { return m.head.Typeflag == tar.TypeDir }

// unpack reads all of an archive, and keeps what is wanted, with all below it.
func unpack(ctx context.Context, path string, wanted []string) (*unpacked, error) {
	f, err := openRegular(path)
	if err != nil {
		return nil, err
	}
	defer f.Close() // only read from
	h := sha256.New()
	all := io.TeeReader(patient{ctx, f}, h)
	zip, err := gzip.NewReader(bufio.NewReader(all))
	if err != nil {
		return nil, err
	}
	u := &unpacked{members: map[string]*member{}, children: map[string][]string{}}
	if err := u.read(zip, wanted); err != nil {
		return nil, err
	}
	// The sums of both are behind what tar reads.
	if _, err := io.Copy(io.Discard, zip); err != nil {
		return nil, err
	}
	if _, err := io.Copy(io.Discard, all); err != nil {
		return nil, err
	}
	u.sum = hex.EncodeToString(h.Sum(nil))
	return u, u.connected(wanted)
}

// patient is a reader that ends with its context.
type patient struct {
	ctx context.Context
	io.Reader
}

func (p patient) Read(b []byte) (int, error) {
	if err := p.ctx.Err(); err != nil {
		return 0, err
	}
	return p.Reader.Read(b)
}

func (u *unpacked) read(zip io.Reader, wanted []string) error {
	in := tar.NewReader(zip)
	for {
		head, err := in.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		name, err := memberName(head.Name)
		if err != nil {
			return err
		}
		if !slices.ContainsFunc(wanted, func(w string) bool { return name == filepath.Clean(w) || below(name, filepath.Clean(w)) }) {
			continue
		}
		if err := u.add(name, head, in); err != nil {
			return err
		}
	}
}

// memberName is the absolute path that a member was packed from.
func memberName(name string) (string, error) {
	if strings.HasPrefix(name, "/") || slices.Contains(strings.Split(name, "/"), "..") {
		return "", fmt.Errorf("it holds %q, a name that leads out of where it is unpacked", name)
	}
	return path.Clean("/" + name), nil
}

func (u *unpacked) add(name string, head *tar.Header, content io.Reader) error {
	switch {
	case head.Typeflag == tar.TypeSymlink || head.Typeflag == tar.TypeLink:
		return fmt.Errorf("%s is a link to %q in it, and links aren't put back", name, head.Linkname)
	case head.Typeflag != tar.TypeReg && head.Typeflag != tar.TypeDir:
		return fmt.Errorf("%s is no file and no directory in it (type %q)", name, head.Typeflag)
	case u.members[name] != nil:
		return fmt.Errorf("it holds %s twice", name)
	case len(u.members) == maxMembers:
		return fmt.Errorf("it holds more than %s of what is to be put back", entries(maxMembers))
	}
	if u.size += head.Size; head.Size > maxUnpacked || u.size > maxUnpacked {
		return fmt.Errorf("%s is too large: no more than %s are put back at once", name, humanize.IBytes(maxUnpacked))
	}
	m := &member{name: name, head: head, content: make([]byte, head.Size)}
	if _, err := io.ReadFull(content, m.content); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	u.members[name] = m
	u.children[path.Dir(name)] = append(u.children[path.Dir(name)], path.Base(name))
	return nil
}

// lacking is the first of names that the archive doesn't hold, or empty.
func (u *unpacked) lacking(names []string) string {
	for _, name := range names {
		if u.members[filepath.Clean(name)] == nil {
			return name
		}
	}
	return ""
}

// connected fails where something is below what is no directory.
func (u *unpacked) connected(wanted []string) error {
	for name := range u.members {
		if slices.ContainsFunc(wanted, func(w string) bool { return filepath.Clean(w) == name }) {
			continue
		}
		if dir := u.members[path.Dir(name)]; dir == nil || !dir.dir() {
			return fmt.Errorf("it holds %s without the directory that it is in", name)
		}
	}
	return nil
}

func (u *unpacked) childrenOf(name string) []string {
	return slices.Sorted(slices.Values(u.children[name]))
}

// tree calls fn for a member and all below it, a directory first, with the rest
// of the path below root.
func (u *unpacked) tree(root *member, fn func(m *member, rel string) error) error {
	var walk func(m *member) error
	walk = func(m *member) error {
		if err := fn(m, m.name[len(root.name):]); err != nil {
			return err
		}
		for _, child := range u.childrenOf(m.name) {
			if err := walk(u.members[filepath.Join(m.name, child)]); err != nil {
				return err
			}
		}
		return nil
	}
	return walk(root)
}

// rights are whose a member is to be. A name means more than a number: that may
// be another user's on another host.
func (m *member) rights() (rights, identity, error) {
	uid, gid := strconv.Itoa(m.head.Uid), strconv.Itoa(m.head.Gid)
	if u, err := user.Lookup(m.head.Uname); m.head.Uname != "" && err == nil {
		uid = u.Uid
	}
	if g, err := user.LookupGroup(m.head.Gname); m.head.Gname != "" && err == nil {
		gid = g.Gid
	}
	id, err := lookupOwner(uid+":"+gid, nil)
	if e := (*engine.Error)(nil); errors.As(err, &e) {
		e.Attribute = "files"
	}
	return rights{ids: id.ids, Mode: uint32(m.head.Mode) & 0o7777}, id, err
}

// effect is the fact of a member that has been put at a path.
func (m *member) effect(path string, to rights, id identity) engine.Effect {
	fact := engine.PathFact{Path: path, Exists: true, Type: engine.TypeFile, Size: int64(len(m.content)),
		UID: to.UID, GID: to.GID, Owner: id.user, Group: id.group, Mode: to.Mode}
	if m.dir() {
		fact.Type, fact.Size = engine.TypeDirectory, 0
	}
	return engine.Effect{Created: &engine.Created{Fact: fact, Bytes: fact.Size, Empty: m.dir()}}
}

// noArchive says why an archive is of no use.
func noArchive(path string, err error) error {
	if unknown := (*engine.UnknownError)(nil); errors.As(err, &unknown) {
		return err
	}
	if inner := (*engine.Error)(nil); errors.As(err, &inner) {
		err = inner.Err
	}
	hint := "See what it holds: tar -tzvf " + path + "."
	switch {
	case errors.Is(err, fs.ErrNotExist):
		err, hint = errors.New("there is no such archive"), "Check the path."
	case errors.Is(err, gzip.ErrHeader), errors.Is(err, io.EOF):
		err, hint = errors.New("it is no archive (tar.gz)"), "Check the path."
	case errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, gzip.ErrChecksum), errors.Is(err, tar.ErrHeader), errors.As(err, new(flate.CorruptInputError)):
		err, hint = fmt.Errorf("it isn't whole: %w", err), "Take another backup's."
	}
	return engine.Errorf(path, "%w", err).WithHint("%s", hint).WithAttribute("archive")
}
