package causes

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"runbook/actions/etcd/diagnose"
	"runbook/actions/etcd/unseen"
)

// ahead is how much later than now a file may have been written.
const ahead = 5 * time.Minute

// lookAtClock looks for signs that this host's clock is behind: a CA that isn't
// valid yet, files that were written later than now. A single certificate that
// isn't valid yet may as well have been made wrong.
func lookAtClock(_ context.Context, l *look) []finding {
	var signs []string
	for _, flag := range []string{"trusted-ca-file", "peer-trusted-ca-file"} {
		path := l.etcd().file(flag)
		text, err := l.read(path)
		if err != nil {
			continue // told with the certificates
		}
		if ca, err := parseCertificate(text); err == nil && l.now.Before(ca.NotBefore) {
			signs = append(signs, fmt.Sprintf("%s is valid from %s on", path, ca.NotBefore.UTC().Format(time.RFC3339)))
			break
		}
	}
	if path, at := l.newestFile(); at.After(l.now.Add(ahead)) {
		signs = append(signs, fmt.Sprintf("%s was written at %s", path, at.UTC().Format(time.RFC3339)))
	}
	if len(signs) == 0 {
		return nil
	}
	what := fmt.Sprintf("This host's clock says %s, and %s: it is behind.", l.now.UTC().Format(time.RFC3339), signs[0])
	if len(signs) > 1 {
		what = fmt.Sprintf("This host's clock says %s, but %s, and %s: it is behind.", l.now.UTC().Format(time.RFC3339), signs[0], signs[1])
	}
	return []finding{cause(classClockWrong, diagnose.Mistake, "", what, "Set it: certificates, leases and tokens go by it. See whether a time service runs.", remedy{Command: "timedatectl set-ntp true # or: date -s 'YYYY-MM-DD hh:mm:ss'"})}
}

// newestFile is the file of the log, or the archive, that was written last.
func (l *look) newestFile() (string, time.Time) {
	dir := l.o.WALDir
	if dir == "" {
		dir = filepath.Join(l.o.DataDir, "member", "wal")
	}
	newest, at := "", time.Time{}
	for _, path := range append(unseen.Glob(filepath.Join(l.at(dir), "*.wal")), l.archivePaths()...) {
		if info, err := os.Stat(path); err == nil && info.ModTime().After(at) {
			newest, at = path, info.ModTime()
		}
	}
	return newest, at
}

func (l *look) archivePaths() []string {
	var paths []string
	for _, path := range l.o.Archives {
		paths = append(paths, l.at(path))
	}
	return paths
}
