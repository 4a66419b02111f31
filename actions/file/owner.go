package file

import (
	"errors"
	"os/user"
	"strconv"
	"strings"

	"github.com/zclconf/go-cty/cty"

	"runbook/engine"
)

// identity is a user and group, by number and by name.
type identity struct {
	ids
	user, group string // the number where there is no name
}

func (i identity) String() string { return i.user + ":" + i.group }

func checkOwner(v cty.Value) error {
	owner, group, both := strings.Cut(v.AsString(), ":")
	switch {
	case owner == "":
		return errors.New("a user name or number is needed")
	case both && group == "":
		return errors.New("a group name or number is needed after the colon")
	}
	return checkNumber(owner)
}

func checkGroup(v cty.Value) error {
	if v.AsString() == "" {
		return errors.New("a group name or number is needed")
	}
	return checkNumber(v.AsString())
}

// checkNumber refuses numbers that are no user's: the highest means "leave
// it" to the kernel, and negative ones wrap around to it.
func checkNumber(s string) error {
	n, err := strconv.ParseInt(s, 10, 64)
	if err == nil && (n < 0 || n >= 1<<32-1) {
		return errors.New("the number must be between 0 and 4294967294")
	}
	return nil
}

// lookupOwner resolves the attributes owner and group.
func lookupOwner(owner string, group *string) (identity, error) {
	name, inOwner, both := strings.Cut(owner, ":")
	if both && group != nil {
		return identity{}, engine.Errorf("group", "owner %q names a group already", owner).
			WithHint("Keep one of the two.").WithAttribute("group")
	}
	id, loginGroup, err := lookupUser(name)
	if err != nil {
		return identity{}, err
	}
	switch {
	case both:
		return id.withGroup(inOwner, "owner")
	case group != nil:
		return id.withGroup(*group, "group")
	case loginGroup == "":
		return identity{}, engine.Errorf("user "+name, "is not known on this host, so its group isn't either").
			WithHint("Set group, or write owner as USER:GROUP.").WithAttribute("owner")
	}
	return id.withGroup(loginGroup, "owner")
}

// lookupUser finds a user by name or, failing that, by number. A number needs
// no entry in the user database.
func lookupUser(name string) (id identity, loginGroup string, err error) {
	u, err := user.Lookup(name)
	uid, notNumber := strconv.Atoi(name)
	if err != nil && notNumber == nil {
		id = identity{ids: ids{UID: uid}, user: name}
		if u, err = user.LookupId(name); err != nil {
			return id, "", nil
		}
	}
	if err != nil {
		return identity{}, "", engine.Errorf("user "+name, "is not known on this host: %w", err).
			WithHint("Create the user first, or give its number.").WithAttribute("owner")
	}
	if uid, err = strconv.Atoi(u.Uid); err != nil {
		return identity{}, "", engine.Errorf("user "+name, "has no usable number: %w", err).WithAttribute("owner")
	}
	return identity{ids: ids{UID: uid}, user: u.Username}, u.Gid, nil
}

func (i identity) withGroup(name, attribute string) (identity, error) {
	g, err := user.LookupGroup(name)
	gid, notNumber := strconv.Atoi(name)
	if err != nil && notNumber == nil {
		i.GID, i.group = gid, name
		if g, err = user.LookupGroupId(name); err != nil {
			return i, nil
		}
	}
	if err != nil {
		return identity{}, engine.Errorf("group "+name, "is not known on this host: %w", err).
			WithHint("Create the group first, or give its number.").WithAttribute(attribute)
	}
	if i.GID, err = strconv.Atoi(g.Gid); err != nil {
		return identity{}, engine.Errorf("group "+name, "has no usable number: %w", err).WithAttribute(attribute)
	}
	i.group = g.Name
	return i, nil
}
