// Package etcddir makes data directories of etcd 3.5, 3.6 and 3.7 by running
// the real programs, for tests that damage copies of them.
package etcddir

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"go.etcd.io/etcd/api/v3/etcdserverpb"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"

	"runbook/test/binaries"
)

// Versions are the minor versions, with the name of the program for each.
var Versions = map[string]string{"3.5": "etcd35", "3.6": "etcd36", "3.7": "etcd"}

// Name is the member's name, Keys how many keys a directory has.
const (
	Name = "m1"
	Keys = 300
)

// Dirs are a version's directories.
type Dirs struct {
	Version string // "3.6"
	Clean   string // of a member that was stopped
	Killed  string // the same, started again and killed, its log ahead of its database
	Ahead   int    // by how many keys
	Backups string // a directory with one snapshot, of the first half of the keys
	PeerURL string
}

// Make makes a version's directories below dir.
func Make(ctx context.Context, version, dir string) (Dirs, error) {
	d := Dirs{Version: version, Clean: filepath.Join(dir, "clean"), Killed: filepath.Join(dir, "killed"), Ahead: 20, Backups: filepath.Join(dir, "backups")}
	if err := os.MkdirAll(d.Backups, 0o700); err != nil {
		return d, err
	}
	m, err := Start(ctx, version, d.Clean)
	if err != nil {
		return d, err
	}
	d.PeerURL = m.PeerURL
	if err := errors.Join(m.fill(ctx, d.Backups), m.Stop()); err != nil {
		return d, err
	}
	if err := Copy(d.Clean, d.Killed); err != nil {
		return d, err
	}
	// A database that isn't written for an hour stays behind its log for sure.
	if m, err = StartAt(ctx, version, d.Killed, m.PeerURL, "--backend-batch-interval=1h", "--backend-batch-limit=1000000"); err != nil {
		return d, err
	}
	return d, errors.Join(m.Put(ctx, Keys, Keys+d.Ahead), m.Kill())
}

// fill writes keys, a backup of the first half, and a compaction, and waits
// for what etcd writes by itself.
func (m *Member) fill(ctx context.Context, backups string) error {
	if err := m.Put(ctx, 0, Keys/2); err != nil {
		return err
	}
	if err := m.Save(ctx, filepath.Join(backups, "backup-1.db")); err != nil {
		return err
	}
	if err := m.Put(ctx, Keys/2, Keys); err != nil {
		return err
	}
	if _, err := m.Client.Compact(ctx, 100, clientv3.WithCompactPhysical()); err != nil {
		return err
	}
	return m.Settle(ctx)
}

// Member is a running etcd.
type Member struct {
	Client   *clientv3.Client
	Endpoint string
	PeerURL  string
	Log      string // the file with what it says
	version  string
	cmd      *exec.Cmd
	log      *os.File
}

// Start runs etcd on dir, at addresses of its choice.
func Start(ctx context.Context, version, dir string) (*Member, error) {
	peer, err := freeAddress()
	if err != nil {
		return nil, err
	}
	return StartAt(ctx, version, dir, peer)
}

// StartAt runs etcd on dir with the peer URL that the member was made with.
func StartAt(ctx context.Context, version, dir, peer string, flags ...string) (*Member, error) {
	m, err := Launch(ctx, version, dir, peer, flags...)
	if err != nil {
		return nil, err
	}
	if err := m.awaitReady(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("etcd %s on %s: %w\n%s", version, dir, err, m.LastWords()), m.Kill())
	}
	return m, nil
}

// Launch starts etcd and doesn't wait for it.
func Launch(ctx context.Context, version, dir, peer string, flags ...string) (*Member, error) {
	path, err := binaries.Path(ctx, Versions[version])
	if err != nil {
		return nil, err
	}
	client, err := freeAddress()
	if err != nil {
		return nil, err
	}
	log, err := os.Create(dir + ".log")
	if err != nil {
		return nil, err
	}
	m := &Member{Endpoint: client, PeerURL: peer, Log: log.Name(), version: version, log: log}
	args := append([]string{
		"--name", Name, "--data-dir", dir, "--snapshot-count=100",
		"--listen-client-urls", client, "--advertise-client-urls", client,
		"--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer,
		"--initial-cluster", Name + "=" + peer, "--unsafe-no-fsync",
	}, flags...)
	m.cmd = exec.Command(path, args...)
	m.cmd.Stdout, m.cmd.Stderr = log, log
	m.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := m.cmd.Start(); err != nil {
		return nil, errors.Join(err, log.Close())
	}
	m.Client, err = clientv3.New(clientv3.Config{Endpoints: []string{client}, Logger: zap.NewNop()})
	return m, err
}

func freeAddress() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return "http://" + l.Addr().String(), l.Close()
}

// readyWithin is how long a start may take on a busy machine.
const readyWithin = time.Minute

// awaitReady waits until etcd answers a read that needs a leader.
func (m *Member) awaitReady(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, readyWithin)
	defer cancel()
	return m.Ready(ctx)
}

// Ready waits until etcd answers, ends, or ctx does.
func (m *Member) Ready(ctx context.Context) error {
	for {
		call, cancel := context.WithTimeout(ctx, time.Second)
		_, err := m.Client.Get(call, "x")
		cancel()
		if err == nil || ctx.Err() != nil {
			return err
		}
		if m.ended() {
			return errors.New("etcd has ended")
		}
	}
}

// ended reports whether the process is gone, as /proc has it.
func (m *Member) ended() bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", m.cmd.Process.Pid))
	_, rest, _ := strings.Cut(string(stat), ") ")
	return err != nil || strings.HasPrefix(rest, "Z")
}

// PID is the process.
func (m *Member) PID() int { return m.cmd.Process.Pid }

// Settle waits until etcd has written its storage version, which it does by
// itself some time after its start, and has committed what it was told.
func (m *Member) Settle(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, readyWithin)
	defer cancel()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		s, err := m.Client.Status(ctx, m.Endpoint)
		if err != nil {
			return err
		}
		if m.version == "3.5" && m.agreed() || s.StorageVersion != "" {
			_, err := m.Client.HashKV(ctx, m.Endpoint, 0)
			return err
		}
		<-tick.C
	}
}

// agreed reports whether etcd has written its cluster's version, which takes a
// moment too, and is the last that etcd 3.5 writes by itself. Its log tells.
func (m *Member) agreed() bool {
	text, err := os.ReadFile(m.Log)
	return err == nil && bytes.Contains(text, []byte("set initial cluster version"))
}

// Put writes the keys from to to, not included.
func (m *Member) Put(ctx context.Context, from, to int) error {
	for i := from; i < to; i++ {
		key, value := Object(i)
		if _, err := m.Client.Put(ctx, key, string(value)); err != nil {
			return err
		}
	}
	return nil
}

// RaiseNoSpace raises the alarm that a full database raises.
func (m *Member) RaiseNoSpace(ctx context.Context) error {
	status, err := m.Client.Status(ctx, m.Endpoint)
	if err != nil {
		return err
	}
	_, err = etcdserverpb.NewMaintenanceClient(m.Client.ActiveConnection()).Alarm(ctx, &etcdserverpb.AlarmRequest{
		Action: etcdserverpb.AlarmRequest_ACTIVATE, Alarm: etcdserverpb.AlarmType_NOSPACE, MemberID: status.Header.MemberId,
	})
	return err
}

// Save saves a snapshot.
func (m *Member) Save(ctx context.Context, path string) error {
	r, err := m.Client.Snapshot(ctx)
	if err != nil {
		return err
	}
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	_, err = io.Copy(f, r)
	return errors.Join(err, r.Close(), f.Close())
}

// Stop stops etcd as its administrator would, Kill as a power cut does.
func (m *Member) Stop() error { return m.end(syscall.SIGTERM) }

// Kill ends etcd at once.
func (m *Member) Kill() error { return m.end(syscall.SIGKILL) }

func (m *Member) end(s syscall.Signal) error {
	_ = m.Client.Close() // only asked
	if err := m.cmd.Process.Signal(s); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	_ = m.cmd.Wait() // that it was a signal is no news
	return m.log.Close()
}

// LastWords are the last lines of what etcd said.
func (m *Member) LastWords() string {
	text, err := os.ReadFile(m.Log)
	if err != nil {
		return err.Error()
	}
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	return strings.Join(lines[max(0, len(lines)-15):], "\n")
}
