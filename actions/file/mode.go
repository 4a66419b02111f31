package file

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/zclconf/go-cty/cty"
	"golang.org/x/sys/unix"

	"runbook/engine"
	"runbook/engine/durable"
)

// checkMode is the Check of an attribute that holds permissions.
func checkMode(v cty.Value) error {
	_, err := parseMode(v.AsString())
	return err
}

func parseMode(s string) (uint32, error) {
	n, err := strconv.ParseUint(s, 8, 32)
	if err != nil || n > 0o7777 || len(s) < 3 {
		return 0, errors.New(`it is not a mode in octal: write it as chmod does, such as "0640"`)
	}
	return uint32(n), nil
}

func modeText(mode uint32) string { return fmt.Sprintf("%04o", mode) }

// rights are whose a path is and who may do what with it.
type rights struct {
	ids
	Mode uint32 `json:"mode"`
}

// wanted are the rights that the attributes ask for, with their names. What
// they leave out stays as it is, or is that of the process and usual.
func wanted(owner, group, mode *string, now engine.PathFact, usual uint32) (rights, identity, error) {
	id, err := wantedOwner(owner, group, now)
	if err != nil {
		return rights{}, id, err
	}
	bits := usual
	switch {
	case mode != nil:
		if bits, err = parseMode(*mode); err != nil {
			return rights{}, id, engine.Errorf("mode "+*mode, "%w", err).WithAttribute("mode")
		}
	case now.Exists:
		bits = now.Mode
	}
	return rights{ids: id.ids, Mode: bits}, id, nil
}

func wantedOwner(owner, group *string, now engine.PathFact) (identity, error) {
	if owner != nil {
		return lookupOwner(*owner, group)
	}
	id := identity{ids: ids{now.UID, now.GID}, user: now.Owner, group: now.Group}
	if !now.Exists {
		var err error
		if id, err = lookupOwner(strconv.Itoa(os.Geteuid())+":"+strconv.Itoa(os.Getegid()), nil); err != nil {
			return id, err
		}
	}
	if group == nil {
		return id, nil
	}
	return id.withGroup(*group, "group")
}

// rightsItems are the differences between what is and what is to be.
func rightsItems(now engine.PathFact, to rights, id identity) (items []engine.Item) {
	if now.Mode != to.Mode {
		items = append(items, engine.Item{Target: now.Path, Attribute: "mode", Before: modeText(now.Mode), After: modeText(to.Mode)})
	}
	if (ids{now.UID, now.GID}) != to.ids {
		items = append(items, engine.Item{Target: now.Path, Attribute: "owner", Before: now.Owner + ":" + now.Group, After: id.String()})
	}
	return items
}

// give sets the owner and mode of the open file at fd. The kernel clears
// special bits when the owner changes, so they come after.
func (r rights) give(fd int, path string) error {
	if err := unix.Fchown(fd, r.UID, r.GID); err != nil {
		return engine.Errorf(path, "chown: %w", err).WithHint("Giving a file to another user takes root.")
	}
	if err := unix.Fchmod(fd, r.Mode); err != nil {
		return engine.Errorf(path, "chmod: %w", err)
	}
	return nil
}

// rightsAt reads the type and the rights of what is at path.
func rightsAt(path string) (uint32, rights, error) {
	st, err := durable.Lstat(path)
	if err != nil {
		return 0, rights{}, &engine.Error{Where: path, Err: err}
	}
	return st.Mode & unix.S_IFMT, rightsOf(st), nil
}

func rightsOf(st unix.Stat_t) rights {
	return rights{ids: ids{int(st.Uid), int(st.Gid)}, Mode: st.Mode & 0o7777}
}

// isReadable reports whether data is text that expressions hand on as it is:
// they compose what Unicode spells in two ways.
func isReadable(data string) bool {
	return utf8.ValidString(data) && !strings.ContainsRune(data, 0) && cty.NormalizeString(data) == data
}

// isText reports whether data can be shown to people as it is: control
// characters do things to a terminal.
func isText(data string) bool {
	return utf8.ValidString(data) && !strings.ContainsFunc(data, func(r rune) bool {
		return r < ' ' && r != '\n' && r != '\t' || r >= 0x7f && r < 0xa0
	})
}
