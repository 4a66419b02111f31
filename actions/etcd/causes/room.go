package causes

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"

	"golang.org/x/sys/unix"

	"runbook/actions/etcd/diagnose"
)

// What is too little room for kubelet, the runtime and systemd to work.
const (
	fewBytes  = 16 << 20
	fewInodes = 16
)

// rooms are the directories without room in which no container starts. The data
// directory is looked at with the data.
var rooms = []string{"/var/lib/kubelet", "/var/lib/containerd", "/var/lib/containers", "/var/log/pods", "/run", "/etc"}

// lookAtRoom looks for full disks, and a database at its quota.
func lookAtRoom(_ context.Context, l *look) []finding {
	var found []finding
	told := map[unix.Fsid]bool{}
	if st, ok := l.room(l.o.DataDir); ok {
		told[st.Fsid] = true
	}
	for _, dir := range rooms {
		st, ok := l.room(dir)
		if !ok || told[st.Fsid] || st.Blocks == 0 {
			continue
		}
		what := ""
		switch free := int64(st.Bavail) * st.Bsize; {
		case free < fewBytes:
			what = fmt.Sprintf("The disk that holds %s is full: %d bytes are left. No container starts then.", dir, free)
		case st.Files > 0 && st.Ffree < fewInodes:
			what = fmt.Sprintf("The file system that holds %s has no room for files: %d inodes are left.", dir, st.Ffree)
		default:
			continue
		}
		told[st.Fsid] = true
		found = append(found, cause(classDiskFull, diagnose.Damage, dir, what, "Make room.", remedy{Command: "du -xh --max-depth=2 " + dir + " | sort -h | tail -n 20"}))
	}
	return append(found, l.quota()...)
}

// room is what the kernel tells of a path's file system.
func (l *look) room(dir string) (unix.Statfs_t, bool) {
	var st unix.Statfs_t
	return st, dir != "" && unix.Statfs(l.at(dir), &st) == nil
}

// defaultQuota is etcd's where none is set.
const defaultQuota = 2 << 30

// quota compares the database with its quota. etcd counts the file's size, free
// pages and all.
func (l *look) quota() []finding {
	s := l.etcd()
	if !s.known() || l.o.DataDir == "" {
		return nil
	}
	db := filepath.Join(l.o.DataDir, "member", "snap", "db")
	info, err := os.Stat(l.at(db))
	quota, bad := strconv.ParseInt(s.get("quota-backend-bytes"), 10, 64)
	if bad != nil || quota == 0 {
		quota = defaultQuota
	}
	if err != nil || quota < 0 || info.Size() < quota {
		return nil
	}
	return []finding{mistake(classQuotaReached, db, "", fmt.Sprintf("The database has %d bytes, and its quota is %d (--quota-backend-bytes): every write fails with \"mvcc: database space exceeded\".", info.Size(), quota),
		"Compact and defragment, then disarm the alarm; or raise the quota.", "etcdctl defrag && etcdctl alarm disarm")}
}

// inodeOf is the number of what is at path; 0 where there is nothing.
func inodeOf(path string) uint64 {
	var st unix.Stat_t
	if unix.Stat(path, &st) != nil {
		return 0
	}
	return st.Ino
}
