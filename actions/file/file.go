// Package file holds the actions on files and directories, and what tells of
// them.
package file

import (
	"context"
	"errors"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"

	"github.com/zclconf/go-cty/cty"
	"golang.org/x/sys/unix"

	"runbook/engine"
	"runbook/engine/durable"
)

// Actions lists the actions on files.
func Actions() []engine.Spec {
	return []engine.Spec{archiveSpec, extractSpec, renewSpec, chownSpec, copySpec, makeDirectorySpec, moveSpec, removeSpec, writeSpec}
}

// Data lists the data sources on files.
func Data() []engine.DataSpec { return []engine.DataSpec{dataSpec} }

// checkPath is the Check of an attribute that names a path.
func checkPath(v cty.Value) error {
	path := v.AsString()
	switch {
	case !filepath.IsAbs(path):
		return errors.New("the path must be absolute: it has to mean the same wherever the run is started")
	case strings.ContainsRune(path, 0):
		return errors.New("a path can't contain a NUL character")
	case slices.Contains(strings.Split(path, "/"), ".."):
		return errors.New(`the path must not contain "..": write the path that is meant`)
	}
	return nil
}

// fixed are the directories without which a host doesn't work. No procedure
// has reason to take one away.
var fixed = []string{
	"/", "/bin", "/boot", "/dev", "/etc", "/home", "/lib", "/lib64", "/opt", "/proc",
	"/root", "/run", "/sbin", "/srv", "/sys", "/tmp", "/usr", "/var", "/var/lib", "/var/log",
}

// movable tells why what is at path must not be renamed, or nil.
func movable(ctx context.Context, w engine.World, path, attribute string) error {
	if slices.Contains(fixed, path) {
		return engine.Errorf(path, "the system can't do without it").
			WithHint("Name what is meant below it.").WithAttribute(attribute)
	}
	mounted, err := mountPoint(ctx, w, path)
	if err != nil || !mounted {
		return err
	}
	return engine.Errorf(path, "is a mount point, which can't be renamed").
		WithHint("Name what is inside, or unmount it first; see findmnt %s.", path).WithAttribute(attribute)
}

// mountPoint reports whether something is mounted at path. What an earlier
// step will have created there is none.
func mountPoint(ctx context.Context, w engine.World, path string) (bool, error) {
	now, err := w.Source(ctx, path)
	if unknown := (*engine.UnknownError)(nil); errors.As(err, &unknown) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	var st unix.Statx_t
	flags := unix.AT_SYMLINK_NOFOLLOW | unix.AT_NO_AUTOMOUNT
	if err := unix.Statx(unix.AT_FDCWD, now, flags, unix.STATX_BASIC_STATS, &st); err != nil {
		return false, engine.Errorf(now, "statx: %w", err)
	}
	return st.Attributes&unix.STATX_ATTR_MOUNT_ROOT != 0, nil
}

// refuseLinked refuses a path on which somebody else's symbolic link will be,
// who could make it lead elsewhere at any moment.
func refuseLinked(ctx context.Context, w engine.World, path, attribute string) error {
	link := (*engine.Error)(nil)
	if !errors.As(durable.CheckWay(path), &link) {
		return nil
	}
	fact, err := w.Stat(ctx, link.Where)
	if unknown := (*engine.UnknownError)(nil); errors.As(err, &unknown) {
		return nil // it is looked at when the step runs
	}
	if err != nil || fact.Type != engine.TypeSymlink || durable.Trusted(fact.UID) {
		return err
	}
	return link.WithAttribute(attribute)
}

// below reports whether path is inside dir.
func below(path, dir string) bool {
	return strings.HasPrefix(path, strings.TrimSuffix(dir, "/")+"/")
}

// inodeAt returns the inode number at path without following a symbolic link,
// or 0 where nothing is. The device number is left out of a recorded
// identity: it may be another one after a reboot.
func inodeAt(path string) (uint64, error) {
	st, err := durable.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ENOTDIR) {
		return 0, nil
	}
	if err != nil {
		return 0, &engine.Error{Where: path, Err: err}
	}
	return st.Ino, nil
}
