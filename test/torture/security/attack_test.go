package security

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// An attack is what mallory, to whom u and u/d belong, does at one moment. The
// tests do it in mallory's place, while the run stands still.
type attack struct {
	name      string
	do        func(g *ground) error
	hardLinks bool
}

var attacks = []attack{
	{name: "the directory becomes a link", do: func(g *ground) error { return exchangeNames(g.path("u/d"), g.path("u/l")) }},
	{name: "all in it becomes links", do: func(g *ground) error { return g.substitute(g.linkTo) }},
	// A kernel that lets users make hard links to files that aren't theirs
	// (fs.protected_hardlinks = 0) is no reason to give in.
	{name: "all in it becomes hard links", do: func(g *ground) error { return g.substitute(g.hardLinkTo) }, hardLinks: true},
	{name: "all in it becomes mallory's", do: func(g *ground) error { return g.substitute(g.own) }},
}

// exchangeNames makes two names change places in one instant.
func exchangeNames(a, b string) error {
	return unix.Renameat2(unix.AT_FDCWD, a, unix.AT_FDCWD, b, unix.RENAME_EXCHANGE)
}

const away = ".away-"

// substitute moves everything in u/d aside, under names of mallory's, and puts
// something else in its place. What is in root's directories is out of reach.
func (g *ground) substitute(put func(path string, mode uint32) error) error {
	dir := g.path("u/d")
	for _, name := range names(g.T, dir) {
		path := filepath.Join(dir, name)
		var st unix.Stat_t
		if err := unix.Lstat(path, &st); err != nil || strings.HasPrefix(name, away) {
			continue
		}
		if err := os.Rename(path, filepath.Join(dir, away+name)); err != nil {
			return err
		}
		if err := put(path, st.Mode); err != nil {
			return err
		}
	}
	return nil
}

// counterpart is what mallory is after in the place of what is at path: the
// same name where the victim has it, else something of its kind.
func (g *ground) counterpart(path string, mode uint32) string {
	if same := g.path("victim/" + filepath.Base(path)); exists(same) {
		return same
	}
	if mode&unix.S_IFMT == unix.S_IFDIR {
		return g.path("victim/tree")
	}
	return g.path("victim/a")
}

func (g *ground) linkTo(path string, mode uint32) error {
	return errors.Join(os.Symlink(g.counterpart(path, mode), path), os.Lchown(path, mallory, mallory))
}

// hardLinkTo makes a directory of hard links in the place of a directory.
func (g *ground) hardLinkTo(path string, mode uint32) error {
	target := g.counterpart(path, mode)
	if mode&unix.S_IFMT != unix.S_IFDIR {
		return os.Link(target, path)
	}
	if err := g.own(path, mode); err != nil {
		return err
	}
	for _, name := range []string{"f", "tool", "owned"} {
		if err := os.Link(g.path("victim/tree/"+name), filepath.Join(path, name)); err != nil {
			return err
		}
	}
	return nil
}

// access is a list that lets mallory read: the owner, mallory and a mask may.
var access = []byte{2, 0, 0, 0,
	1, 0, 6, 0, 0xff, 0xff, 0xff, 0xff, // the owner
	2, 0, 4, 0, mallory & 0xff, mallory >> 8, 0, 0, // mallory
	4, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, // the group
	0x10, 0, 4, 0, 0xff, 0xff, 0xff, 0xff, // the mask
	0x20, 0, 0, 0, 0xff, 0xff, 0xff, 0xff} // others

// own puts something of mallory's own in the place, with an access list that
// lets mallory read whatever inherits it.
func (g *ground) own(path string, mode uint32) error {
	if mode&unix.S_IFMT == unix.S_IFDIR {
		return errors.Join(os.Mkdir(path, 0o755), os.Lchown(path, mallory, mallory))
	}
	if err := os.WriteFile(path, []byte("mallory's"), 0o644); err != nil {
		return err
	}
	if err := os.Lchown(path, mallory, mallory); err != nil {
		return err
	}
	if err := unix.Setxattr(path, "system.posix_acl_access", access, 0); err != nil && !errors.Is(err, unix.ENOTSUP) {
		return fmt.Errorf("%s: setting an access list: %w", path, err)
	}
	return nil
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

// A deed is a step on mallory's ground, or several.
type deed struct {
	name, steps string
	lay         func(g *ground) // what has to be there beforehand
	drill       bool            // it does damage on purpose
	mounted     bool            // u/d is a mount point: nobody can rename it
}

// run are the arguments that carry a deed's runbook out on this host.
func (s *scene) run(d deed) []string {
	s.Helper()
	args := []string{"run", s.book, "--yes"}
	if d.drill {
		name, err := os.Hostname()
		must(s.T, err)
		args = append(args, "--drill", name)
	}
	return args
}

// possible lists the attacks on a deed. From one file system to another there are
// no hard links.
func (d deed) possible() []attack {
	if d.mounted {
		return []attack{attacks[1], attacks[3]}
	}
	return attacks
}

var deeds = []deed{
	{name: "chown", steps: `
step "chown" "it" {
  path      = "DIR/u/d/tree"
  owner     = "4711:4711"
  recursive = true
}`},
	{name: "write_file", steps: `
step "write_file" "it" {
  path    = "DIR/u/d/conf"
  mode    = "0600"
  content = "for-root-alone"
}`},
	{name: "write_file, new", steps: `
step "write_file" "it" {
  path    = "DIR/u/d/new"
  mode    = "0600"
  content = "for-root-alone"
}`},
	{name: "make_directory", steps: `
step "make_directory" "it" {
  path    = "DIR/u/d/made/a/b"
  parents = true
  owner   = "4711:4711"
  mode    = "0777"
}`},
	{name: "make_directory, there", steps: `
step "make_directory" "it" {
  path  = "DIR/u/d/sub"
  owner = "4711:4711"
  mode  = "0777"
}`},
	{name: "move", steps: `
step "move" "within" {
  from = "DIR/u/d/a"
  to   = "DIR/u/d/b"
}
step "move" "out" {
  from = "DIR/u/d/tree"
  to   = "DIR/out/moved"
}
step "move" "in" {
  from = "DIR/src/a"
  to   = "DIR/u/d/in"
}`},
	{name: "remove", steps: `
step "remove" "it" { path = "DIR/u/d/tree" }`},
	{name: "copy, out", steps: `
step "copy" "it" {
  from = "DIR/u/d/tree"
  to   = "DIR/out/copy"
}`},
	{name: "copy, in", steps: `
step "copy" "it" {
  from    = "DIR/src/tree"
  to      = "DIR/u/d/tree"
  replace = true
}
step "copy" "pipe" {
  from = "DIR/src/fifo"
  to   = "DIR/u/d/pipe"
}
step "copy" "link" {
  from = "DIR/src/tree/link"
  to   = "DIR/u/d/link"
}`},
	{name: "archive, out", steps: `
step "archive" "it" {
  path    = "DIR/out/it.tgz"
  sources = ["DIR/u/d/tree", "DIR/u/d/sub"]
}`},
	{name: "archive, in", steps: `
step "archive" "it" {
  path    = "DIR/u/d/it.tgz"
  sources = ["DIR/src/tree"]
  copies  = ["DIR/u/d/sub"]
}`},
}
