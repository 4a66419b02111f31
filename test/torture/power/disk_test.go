package power

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// A disk is a file system's content: its inodes by their numbers. The root has
// the number 1. Inodes are never changed in place, so that disks can share them.
type disk map[uint64]*inode

const rootInode = 1

// inode is a file, a directory or a symbolic link.
type inode struct {
	kind     byte // 'f', 'd', 'l'
	mode     uint32
	uid, gid int
	mtime    int64 // in nanoseconds; 0 where it is whenever it was last written
	link     string
	size     int64
	blocks   map[int64][]byte  // of a file, without those that are all zero
	entries  map[string]uint64 // of a directory
	digest   string            // of the content, once somebody has asked
}

const (
	blockSize  = 4096
	sectorSize = 512
)

// change replaces an inode by a changed copy of it.
func (d disk) change(ino uint64, how func(*inode)) {
	was, ok := d[ino]
	if !ok {
		return
	}
	now := *was
	now.digest = ""
	how(&now)
	d[ino] = &now
}

func (n *inode) write(off int64, data []byte) {
	n.blocks = maps.Clone(n.blocks)
	if n.blocks == nil {
		n.blocks = map[int64][]byte{}
	}
	n.size = max(n.size, off+int64(len(data)))
	for len(data) > 0 {
		number, at := off/blockSize, off%blockSize
		b := make([]byte, blockSize)
		copy(b, n.blocks[number])
		done := copy(b[at:], data)
		n.put(number, b)
		data, off = data[done:], off+int64(done)
	}
}

var zeros = make([]byte, blockSize)

func (n *inode) put(number int64, b []byte) {
	if bytes.Equal(b, zeros) {
		delete(n.blocks, number)
		return
	}
	n.blocks[number] = b
}

func (n *inode) truncate(size int64) {
	if size < n.size {
		blocks := map[int64][]byte{}
		for number, b := range n.blocks {
			switch at := number * blockSize; {
			case at+blockSize <= size:
				blocks[number] = b
			case at < size:
				cut := make([]byte, blockSize)
				copy(cut, b[:size-at])
				blocks[number] = cut
			}
		}
		n.blocks = blocks
	}
	n.size = size
}

func (n *inode) read(off, length int64) []byte {
	length = max(0, min(length, n.size-off))
	out := make([]byte, 0, length)
	for int64(len(out)) < length {
		number, at := (off+int64(len(out)))/blockSize, (off+int64(len(out)))%blockSize
		b := n.blocks[number]
		if b == nil {
			b = zeros
		}
		out = append(out, b[at:min(blockSize, at+length-int64(len(out)))]...)
	}
	return out
}

func (n *inode) set(name string, ino uint64) {
	n.entries = maps.Clone(n.entries)
	if n.entries == nil {
		n.entries = map[string]uint64{}
	}
	if ino == 0 {
		delete(n.entries, name)
		return
	}
	n.entries[name] = ino
}

// sum tells contents apart.
func (n *inode) sum() string {
	if n.digest != "" {
		return n.digest
	}
	h := sha256.New()
	for _, number := range slices.Sorted(maps.Keys(n.blocks)) {
		fmt.Fprintf(h, "%d:", number)
		h.Write(n.blocks[number])
	}
	n.digest = hex.EncodeToString(h.Sum(nil))[:24]
	return n.digest
}

// look describes an inode, its entries aside.
func (n *inode) look() string {
	text := fmt.Sprintf("%c %04o %d:%d", n.kind, n.mode, n.uid, n.gid)
	switch n.kind {
	case 'f':
		text += fmt.Sprintf(" %d %s", n.size, n.sum())
	case 'l':
		text += " -> " + n.link
	}
	return text
}

// walk calls fn for all that can be reached from the root, parents first.
func (d disk) walk(fn func(path string, ino uint64, n *inode)) {
	d.walkFrom("/", rootInode, fn)
}

func (d disk) walkFrom(path string, ino uint64, fn func(path string, ino uint64, n *inode)) {
	n := d[ino]
	fn(path, ino, n)
	for _, name := range slices.Sorted(maps.Keys(n.entries)) {
		d.walkFrom(strings.TrimSuffix(path, "/")+"/"+name, n.entries[name], fn)
	}
}

// text describes all below a path, each name a line. Two disks with the same
// text can't be told apart by who looks at them, the times of what was written
// aside.
func (d disk) text(below string, inodes bool) string {
	var b strings.Builder
	d.walk(func(path string, ino uint64, n *inode) {
		if path != below && !strings.HasPrefix(path, strings.TrimSuffix(below, "/")+"/") {
			return
		}
		fmt.Fprintf(&b, "%s %s", path, n.look())
		if n.mtime != 0 && n.kind == 'f' {
			fmt.Fprintf(&b, " of %d", n.mtime)
		}
		if inodes {
			fmt.Fprintf(&b, " #%d", ino)
		}
		b.WriteByte('\n')
	})
	return b.String()
}

// find returns the inode at a path, 0 where there is none. A symbolic link at
// its end is followed if follow is set, elsewhere always.
func (d disk) find(path string, follow bool) uint64 { return d.findWithin(path, follow, 10) }

func (d disk) findWithin(path string, follow bool, links int) uint64 {
	ino := uint64(rootInode)
	parts := strings.FieldsFunc(path, func(r rune) bool { return r == '/' })
	for i, name := range parts {
		next := d[ino].entries[name]
		if next == 0 {
			return 0
		}
		last := i == len(parts)-1
		if n := d[next]; n.kind == 'l' && (follow || !last) {
			if links == 0 || strings.HasPrefix(n.link, "/") {
				return 0 // absolute ones lead out of the scene
			}
			to := "/" + strings.Join(append(append(slices.Clone(parts[:i]), n.link), parts[i+1:]...), "/")
			return d.findWithin(to, follow, links-1)
		}
		ino = next
	}
	return ino
}
