// Package systemd controls units over D-Bus.
package systemd

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/coreos/go-systemd/v22/dbus"
	"github.com/zclconf/go-cty/cty"

	"runbook/engine"
)

// Actions lists the actions on units.
func Actions() []engine.Spec { return []engine.Spec{unitSpec} }

// Facts reads units.
type Facts struct{}

var _ engine.Facts = Facts{}

// Unit implements engine.Facts.
func (Facts) Unit(ctx context.Context, name string) (engine.UnitFact, error) {
	if err := checkName(name); err != nil {
		return engine.UnitFact{}, engine.Errorf("unit "+name, "%w", err)
	}
	conn, err := connect(ctx)
	if err != nil {
		return engine.UnitFact{}, err
	}
	defer conn.Close()
	props, err := conn.properties(ctx, name)
	if err != nil {
		return engine.UnitFact{}, err
	}
	return fact(name, props), nil
}

// connection is one to the host's systemd, and is made anew when that has
// re-executed itself: it then closes all that it has.
type connection struct{ *dbus.Conn }

// connect opens a connection to the host's systemd: to its own socket, which
// works while D-Bus is down, or for other users than root the system bus.
func connect(ctx context.Context) (*connection, error) {
	if _, err := os.Stat("/run/systemd/system"); err != nil {
		return nil, engine.Errorf("systemd", "no systemd on this host: %w", err).
			WithHint("Steps and facts on units need a host that was booted with systemd.")
	}
	conn, err := dbus.NewSystemdConnectionContext(ctx)
	if err != nil {
		conn, err = dbus.NewSystemConnectionContext(ctx)
	}
	if err != nil {
		return nil, engine.Errorf("systemd", "it doesn't answer: %w", err).
			WithHint("Run as root, and see whether systemctl status works.")
	}
	return &connection{conn}, nil
}

// reexecution bounds how long systemd may not answer while it re-executes
// itself.
const reexecution = 30 * time.Second

// again connects anew.
func (c *connection) again(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, reexecution)
	defer cancel()
	for {
		next, err := connect(ctx)
		if err == nil {
			c.Close()
			c.Conn = next.Conn
			return nil
		}
		select {
		case <-time.After(50 * time.Millisecond):
		case <-ctx.Done():
			return err
		}
	}
}

// properties reads a unit's properties. For a unit that isn't loaded systemd
// looks at the unit's file, but keeps nothing of it.
func (c *connection) properties(ctx context.Context, name string) (map[string]any, error) {
	props, err := c.GetAllPropertiesContext(ctx, name)
	for err != nil && ctx.Err() == nil && !c.Connected() {
		if err = c.again(ctx); err == nil {
			props, err = c.GetAllPropertiesContext(ctx, name)
		}
	}
	if err != nil {
		return nil, engine.Errorf("unit "+name, "reading its state: %w", err)
	}
	return props, nil
}

func fact(name string, props map[string]any) engine.UnitFact {
	return engine.UnitFact{
		Name:          name,
		LoadState:     text(props["LoadState"]),
		ActiveState:   text(props["ActiveState"]),
		SubState:      text(props["SubState"]),
		UnitFileState: text(props["UnitFileState"]),
		MainPID:       number(props["MainPID"]),
		InvocationID:  hex(props["InvocationID"]),
		Result:        text(props["Result"]),
	}
}

// text is a property's text; a unit type that lacks the property has none.
func text(v any) string {
	s, _ := v.(string)
	return s
}

func number(v any) int {
	n, _ := v.(uint32)
	return int(n)
}

// hex writes an InvocationID as systemd's own tools do. A unit that was never
// started has none.
func hex(v any) string {
	id, _ := v.([]byte)
	return fmt.Sprintf("%x", id)
}

var unitTypes = []string{
	".service", ".socket", ".target", ".timer", ".mount", ".automount", ".path", ".slice", ".scope", ".swap", ".device",
}

// checkName tells what is wrong with a unit's name, or nil.
func checkName(name string) error {
	switch {
	case !slices.Contains(unitTypes, path.Ext(name)):
		return fmt.Errorf("a unit's name ends with its type: %s.service, perhaps", name)
	case strings.ContainsAny(name, "/ \t\n*?[]"):
		return errors.New("a unit's name is not a path or a pattern")
	case strings.HasSuffix(strings.TrimSuffix(name, path.Ext(name)), "@"):
		return errors.New("this is a template; name one of its instances")
	}
	return nil
}

func checkNameValue(v cty.Value) error { return checkName(v.AsString()) }

// similarUnits lists installed units whose names resemble name. It only
// serves a hint, so where systemd doesn't tell, there are none.
func similarUnits(ctx context.Context, name string) []string {
	conn, err := connect(ctx)
	if err != nil {
		return nil
	}
	defer conn.Close()
	files, err := conn.ListUnitFilesContext(ctx)
	if err != nil {
		return nil
	}
	var found []string
	for _, f := range files {
		if resembles(path.Base(f.Path), name) {
			found = append(found, path.Base(f.Path))
		}
	}
	slices.Sort(found)
	return found[:min(len(found), 5)]
}

// resembles reports whether one stem contains the other, or they begin alike.
func resembles(a, b string) bool {
	a, b = strings.TrimSuffix(a, path.Ext(a)), strings.TrimSuffix(b, path.Ext(b))
	if a == "" || b == "" {
		return false
	}
	return strings.Contains(a, b) || (len(a) > 3 && strings.Contains(b, a)) ||
		(len(b) > 4 && strings.HasPrefix(a, b[:len(b)-1]))
}
