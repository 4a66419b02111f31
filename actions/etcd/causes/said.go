package causes

import (
	"context"
	"os"
	"strings"
	"time"

	"runbook/actions/etcd/unseen"
)

// logBytes is how much of the end of a log is read. A usage text of etcd's has
// less than 20 KB.
const logBytes = 256 << 10

// lastWords are the last lines that etcd wrote: what its container logged, if
// that was after its manifest was last changed, or its unit's journal.
func (l *look) lastWords(ctx context.Context) []string {
	s := l.etcd()
	switch {
	case s.pod != nil:
		return l.podLog("etcd", s.path)
	case l.o.Unit != "":
		return l.journal(ctx, l.o.Unit)
	}
	return nil
}

// podLog is the end of the newest log of a static pod of the control plane.
func (l *look) podLog(name, manifest string) []string {
	path, at := "", time.Time{}
	for _, p := range unseen.Glob(l.at("/var/log/pods/kube-system_" + name + "-*/" + name + "/*.log")) {
		if st, err := os.Stat(p); err == nil && st.ModTime().After(at) {
			path, at = p, st.ModTime()
		}
	}
	changed, err := os.Stat(l.at(manifest))
	if path == "" || err != nil || changed.ModTime().After(at) {
		return nil
	}
	return plain(tail(path))
}

// tail is the end of a file, as far as it can be read.
func tail(path string) string {
	f, err := unseen.Open(path)
	if err != nil {
		return ""
	}
	defer f.Close() // only read from
	info, err := f.Stat()
	if err != nil {
		return ""
	}
	end := make([]byte, min(info.Size(), logBytes))
	n, _ := f.ReadAt(end, info.Size()-int64(len(end))) // what there is counts
	return string(end[:n])
}

// plain takes off what the runtime puts before a line: time, stream, whether the
// line is whole.
func plain(text string) []string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	for i, line := range lines {
		if parts := strings.SplitN(line, " ", 4); len(parts) == 4 && (parts[1] == "stderr" || parts[1] == "stdout") {
			lines[i] = parts[3]
		}
	}
	return lines
}
