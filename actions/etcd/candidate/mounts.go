package candidate

import (
	"os"
	"slices"
	"strings"
)

// localTypes are the file systems that are entered. Others are on other hosts,
// where a look may never end, or hold no files.
var localTypes = []string{"ext2", "ext3", "ext4", "xfs", "btrfs", "zfs", "f2fs", "bcachefs", "tmpfs", "overlay"}

// mounts tells the type of the file system at each mount point.
func mounts() map[string]string {
	types := map[string]string{}
	data, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return types
	}
	for line := range strings.Lines(string(data)) {
		before, after, ok := strings.Cut(line, " - ")
		fields, rest := strings.Fields(before), strings.Fields(after)
		if ok && len(fields) > 4 && len(rest) > 0 {
			types[unescape.Replace(fields[4])] = rest[0]
		}
	}
	return types
}

// unescape undoes the kernel's escapes.
var unescape = strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`)

// local reports whether a directory may be entered. Its own file system isn't
// asked: one that is gone wouldn't answer.
func (s *search) local(path string) bool {
	kind, mounted := s.mounts[path]
	return !mounted || slices.Contains(localTypes, kind)
}
