package causes

import (
	"context"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"time"

	"runbook/actions/etcd/unseen"
)

// host is the host that is looked at.
type host struct {
	root string // where its files are
	now  time.Time
	name string // the host's own
	// systemd asks for the states of units, journal for the last lines of one,
	// resolve looks a name up, refuses asks for a connection, listeners are the
	// sockets that listen and ownerOf who holds one, processes the arguments of a
	// program's processes.
	systemd   func(context.Context, []string) (map[string]unit, error)
	journal   func(ctx context.Context, unit, pattern string) []string
	resolve   func(ctx context.Context, name string) error
	refuses   func(ctx context.Context, address string) bool
	addresses func() ([]net.Addr, error)
	listeners func() []listener
	ownerOf   func(listener) (process, bool)
	processes func(program string) [][]string
}

func thisHost() host {
	name, err := os.Hostname()
	if err != nil {
		name = "" // nothing is looked up then
	}
	return host{
		root: "/", now: time.Now(), name: name,
		systemd: askSystemd, journal: journalOf, resolve: lookUp, refuses: refuses, addresses: net.InterfaceAddrs,
		listeners: listening, ownerOf: ownerOf, processes: processesOf,
	}
}

// at is where the host's path can be found from here.
func (h host) at(path string) string { return filepath.Join(h.root, path) }

// most is how much of a file is read: none that configures a host is larger.
const most = 4 << 20

func (h host) read(path string) ([]byte, error) { return unseen.ReadFile(h.at(path), most) }

// exists reports whether there is something at path, behind links too.
func (h host) exists(path string) bool {
	_, err := os.Stat(h.at(path))
	return err == nil
}

// list is what stands at the top of a directory; nothing where it can't be told.
func (h host) list(dir string) []fs.DirEntry {
	entries, err := unseen.ReadDir(h.at(dir))
	if err != nil {
		return nil
	}
	return entries
}
