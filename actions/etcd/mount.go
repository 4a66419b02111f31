package etcd

import (
	"os"
	"path/filepath"
	"strings"

	"runbook/engine"
)

// isMountPoint reports whether something is mounted at path, bind mounts
// included: what is can't be renamed.
func isMountPoint(path string) (bool, error) {
	data, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return false, &engine.Error{Where: path, Err: err}
	}
	real := path
	if p, err := filepath.EvalSymlinks(path); err == nil {
		real = p
	}
	for line := range strings.Lines(string(data)) {
		if fields := strings.Fields(line); len(fields) > 4 && unescapeMount(fields[4]) == real {
			return true, nil
		}
	}
	return false, nil
}

// unescapeMount undoes the kernel's escapes.
func unescapeMount(s string) string {
	return strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`).Replace(s)
}

// below returns what of path is below root, if it is.
func below(path, root string) (string, bool) {
	rest, err := filepath.Rel(root, path)
	return rest, err == nil && rest != "." && rest != ".." && !strings.HasPrefix(rest, "../")
}
