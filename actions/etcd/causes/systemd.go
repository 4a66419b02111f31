package causes

import (
	"context"
	"os"
	"sync"
	"time"

	"github.com/coreos/go-systemd/v22/dbus"
)

// unit is what systemd says of a unit.
type unit struct {
	name              string
	load, active, sub string
	file              string    // enabled, disabled, static, masked …; empty where there is no unit file
	result            string    // how it last ended
	status            int       // its main process's exit status
	restarts, files   uint64    // how often systemd restarted it, and how many files it may open
	memory            uint64    // how many bytes it may use; as large as can be where there is no limit
	since             time.Time // it runs
	fragment          string    // its file
	dropIns           []string
}

func (u unit) known() bool { return u.load != "" && u.load != "not-found" }
func (u unit) masked() bool {
	return u.load == "masked" || u.file == "masked" || u.file == "masked-runtime"
}
func (u unit) running() bool { return u.active == "active" || u.active == "reloading" }

// failing reports whether it ends again and again, or systemd has given up.
func (u unit) failing() bool {
	return u.active == "failed" || u.sub == "auto-restart" || u.active == "activating" && u.restarts > 0
}

// looping reports whether it runs and, going by what it did before, not for long.
func (u unit) looping(now time.Time) bool {
	return u.running() && u.restarts >= 3 && now.Sub(u.since) < 10*time.Second
}

// units are the states of units; nil where there is no systemd to ask.
type units map[string]unit

// askSystemd asks this host's systemd: at its own socket, which works while D-Bus
// is down, or for other users than root over the system bus.
func askSystemd(ctx context.Context, names []string) (map[string]unit, error) {
	if _, err := os.Stat("/run/systemd/system"); err != nil {
		return nil, err
	}
	conn, err := dbus.NewSystemdConnectionContext(ctx)
	if err != nil {
		if conn, err = dbus.NewSystemConnectionContext(ctx); err != nil {
			return nil, err
		}
	}
	defer conn.Close()
	var mu sync.Mutex
	var all sync.WaitGroup
	found := map[string]unit{}
	for _, name := range names {
		all.Go(func() {
			props, err := conn.GetAllPropertiesContext(ctx, name)
			if err != nil {
				return // told as not known
			}
			mu.Lock()
			defer mu.Unlock()
			found[name] = unitOf(name, props)
		})
	}
	all.Wait()
	return found, ctx.Err()
}

func unitOf(name string, props map[string]any) unit {
	u := unit{name: name}
	for property, to := range map[string]*string{
		"LoadState": &u.load, "ActiveState": &u.active, "SubState": &u.sub,
		"UnitFileState": &u.file, "Result": &u.result, "FragmentPath": &u.fragment,
	} {
		*to, _ = props[property].(string) // a type of unit without it has none
	}
	since, _ := props["ActiveEnterTimestamp"].(uint64) // in microseconds
	u.since = time.UnixMicro(int64(since))
	status, _ := props["ExecMainStatus"].(int32)
	restarts, _ := props["NRestarts"].(uint32)
	u.status, u.restarts = int(status), uint64(restarts)
	u.files, _ = props["LimitNOFILE"].(uint64)
	u.memory, _ = props["MemoryMax"].(uint64)
	u.dropIns, _ = props["DropInPaths"].([]string)
	return u
}
