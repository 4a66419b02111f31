package candidate

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"time"

	"runbook/actions/etcd/unseen"
)

// The bounds of a search: how deep it goes below each root, and how long it may
// take altogether. What was moved in a hurry lies near the top.
const (
	maxDepth  = 5
	maxSearch = 300 * time.Millisecond
)

// passed are directories in which no data of etcd's can be: what the kernel
// makes up, programs, and what container runtimes and kubelet keep.
var passed = []string{
	"/proc", "/sys", "/dev", "/run", "/usr", "/bin", "/sbin", "/lib", "/lib64", "/boot", "/snap",
	"/var/lib/containerd", "/var/lib/containers", "/var/lib/docker", "/var/lib/cri-o", "/var/lib/kubelet", "/var/cache",
}

// passedNames are likewise, wherever they are: what tools keep thousands of.
var passedNames = []string{".cache", ".git", "node_modules", "go", "overlay2"}

// first are the directories of a root that are gone through before others, and
// last those that are behind all: programs fill them.
var first, last = []string{"var", "root", "home", "mnt", "srv", "opt", "data", "media"}, []string{"tmp"}

// search goes through the local file systems, the shallow directories first.
type search struct {
	ctx    context.Context
	mounts map[string]string // the type of each mount
	found  []Dir
	cut    string
}

type place struct {
	path  string
	depth int
}

func (s *search) run(roots []string) {
	ctx, cancel := context.WithTimeout(s.ctx, maxSearch)
	defer cancel()
	var queue []place
	for _, root := range roots {
		queue = append(queue, place{filepath.Clean(root), 0})
	}
	for len(queue) > 0 {
		next := queue[0]
		queue = queue[1:]
		if ctx.Err() != nil {
			s.cut = fmt.Sprintf("the search for data elsewhere ended after %v, before %s and %d directories more", maxSearch, next.path, len(queue))
			return
		}
		queue = append(queue, s.below(next)...)
	}
}

// below takes a directory that holds a member, and lists the others in it.
func (s *search) below(at place) []place {
	if !s.local(at.path) {
		return nil
	}
	if d, ok := look(at.path); ok && at.depth > 0 {
		s.found = append(s.found, d)
		return nil
	}
	entries, err := unseen.ReadDir(at.path)
	if err != nil || at.depth >= maxDepth {
		return nil // what is closed to this user is no candidate for them
	}
	var dirs []place
	for _, e := range entries {
		path := filepath.Join(at.path, e.Name())
		if e.IsDir() && !slices.Contains(passed, path) && !slices.Contains(passedNames, e.Name()) && !passedOver(e.Name()) {
			dirs = append(dirs, place{path, at.depth + 1})
		}
	}
	slices.SortStableFunc(dirs, func(a, b place) int { return turn(a.path) - turn(b.path) })
	return dirs
}

// turn is when a directory's turn comes among its neighbours.
func turn(path string) int {
	name := filepath.Base(path)
	if i := slices.Index(first, name); i >= 0 {
		return i
	}
	return len(first) + 1 + slices.Index(last, name)
}
