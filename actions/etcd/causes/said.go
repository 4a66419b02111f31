package causes

import (
	"context"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"time"

	"runbook/actions/etcd/diagnose"
	"runbook/actions/etcd/unseen"
)

// lookAtSaid looks at what etcd and the API server said when they ended.
func lookAtSaid(ctx context.Context, l *look) []finding {
	if l.works() {
		return nil
	}
	return append(l.etcdSaid(ctx), l.apiServerSaid()...)
}

// etcdSaid tells why the static pod's etcd ended. Where its data is why, its
// data's findings tell more.
func (l *look) etcdSaid(ctx context.Context) []finding {
	s := l.etcd()
	line := fatalLine(l.said())
	if s.pod == nil || line == "" || l.runs("etcd") {
		return nil
	}
	f := mistake(classEtcdFails, s.path, diagnose.Restart, "etcd was started and ended."+saying("It", line), "Once its cause is gone, have kubelet start it: restarting kubelet ends the back-off.", "systemctl restart kubelet")
	f.Said = shortened(line)
	return []finding{f}
}

var apiServerFlag = regexp.MustCompile(`unknown flag: --([a-z0-9-]+)`)

// apiServerSaid tells of a flag that the API server doesn't know, if its manifest
// still has it.
func (l *look) apiServerSaid() []finding {
	m, ok := l.pods().found["kube-apiserver"]
	if !ok {
		return nil
	}
	line := fatalLine(l.podLog("kube-apiserver", m.path))
	flag := apiServerFlag.FindStringSubmatch(line)
	_, words := m.words("kube-apiserver")
	if flag == nil || !slices.Contains(flagNames(words), flag[1]) {
		return nil
	}
	return []finding{cause(classUnknownFlag, diagnose.Mistake, m.path, fmt.Sprintf("%s has the flag --%s, which the API server doesn't know.%s", m.path, flag[1], saying("It", line)),
		"Mend the flag, or take it out.", remedy{From: flag[1], Command: "vi " + m.path})}
}

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
		return l.journal(ctx, l.o.Unit, "")
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
