// Package etcdhost puts a real etcd under the systemd of a throw-away host, the
// way distributions package it, and breaks it the way disks and people do.
package etcdhost

import (
	"bytes"
	"context"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"strings"
	"time"

	"runbook/test/binaries"
	"runbook/test/systemdhost"
)

// A Machine is where etcd is put: a host seen from outside, or this machine
// for a test that runs inside of one.
type Machine interface {
	Command(ctx context.Context, name string, args ...string) *exec.Cmd
	WriteFile(path string, data []byte, mode fs.FileMode) error
	Dial(ctx context.Context, network, address string) (net.Conn, error)
}

var (
	_ Machine = (*systemdhost.Host)(nil)
	_ Machine = systemdhost.Here{}
)

// Options say how etcd is set up. What is empty gets the value that Install
// returns in Etcd.
type Options struct {
	Unit      string // "etcd.service"
	Name      string // the member's name: "cp1"
	DataDir   string // "/var/lib/etcd"
	PeerURL   string // "http://127.0.0.11:2380", as members have an address of their own
	ClientURL string // "http://127.0.0.1:2379"
	Token     string // the cluster's token: "etcd-cluster-1"
	// Flags configures etcd by flags in its unit rather than by an environment
	// file.
	Flags bool
}

// Etcd is an etcd under systemd.
type Etcd struct {
	Options
	Machine Machine
}

// Install puts etcd, etcdctl and etcdutl into /usr/bin of a machine, and a unit
// and the user "etcd", and doesn't start it.
func Install(ctx context.Context, m Machine, o Options) (*Etcd, error) {
	e := &Etcd{Machine: m, Options: o.withDefaults()}
	if err := e.installPrograms(ctx); err != nil {
		return nil, fmt.Errorf("install etcd: %w", err)
	}
	for path, text := range e.files() {
		if err := m.WriteFile(path, []byte(text), 0o644); err != nil {
			return nil, fmt.Errorf("install etcd: %w", err)
		}
	}
	for _, cmd := range [][]string{
		{"systemd-sysusers", sysusersPath},
		{"install", "-d", "-o", "etcd", "-g", "etcd", "-m", "0700", e.DataDir},
		{"systemctl", "daemon-reload"},
	} {
		if _, err := e.run(ctx, cmd[0], cmd[1:]...); err != nil {
			return nil, fmt.Errorf("install etcd: %w", err)
		}
	}
	return e, nil
}

func (o Options) withDefaults() Options {
	for field, value := range map[*string]string{
		&o.Unit:      "etcd.service",
		&o.Name:      "cp1",
		&o.DataDir:   "/var/lib/etcd",
		&o.PeerURL:   "http://127.0.0.11:2380",
		&o.ClientURL: "http://127.0.0.1:2379",
		&o.Token:     "etcd-cluster-1",
	} {
		if *field == "" {
			*field = value
		}
	}
	return o
}

func (e *Etcd) installPrograms(ctx context.Context) error {
	for _, name := range []string{"etcd", "etcdctl", "etcdutl"} {
		path, err := binaries.Path(ctx, name)
		if err != nil {
			return err
		}
		program, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		// A copy, as etcd's user can't reach every directory of the machine.
		if err := e.Machine.WriteFile("/usr/bin/"+name, program, 0o755); err != nil {
			return err
		}
	}
	return nil
}

const (
	sysusersPath    = "/usr/lib/sysusers.d/etcd.conf"
	environmentPath = "/etc/default/etcd"
)

func (e *Etcd) files() map[string]string {
	files := map[string]string{
		sysusersPath:                        "u etcd - \"etcd key-value store\" " + e.DataDir + "\n",
		"/usr/lib/systemd/system/" + e.Unit: e.unit(),
	}
	if !e.Flags {
		files[environmentPath] = e.environment()
	}
	return files
}

// settings are etcd's, by the names of its flags.
func (e *Etcd) settings() [][2]string {
	return [][2]string{
		{"name", e.Name},
		{"data-dir", e.DataDir},
		{"listen-peer-urls", e.PeerURL},
		{"listen-client-urls", e.ClientURL},
		{"initial-advertise-peer-urls", e.PeerURL},
		{"advertise-client-urls", e.ClientURL},
		{"initial-cluster", e.Name + "=" + e.PeerURL},
		{"initial-cluster-token", e.Token},
		{"initial-cluster-state", "new"},
	}
}

func (e *Etcd) environment() string {
	var b strings.Builder
	for _, s := range e.settings() {
		name := strings.ToUpper(strings.ReplaceAll(s[0], "-", "_"))
		fmt.Fprintf(&b, "ETCD_%s=%q\n", name, s[1])
	}
	return b.String()
}

func (e *Etcd) unit() string {
	source, start := "EnvironmentFile="+environmentPath, "/usr/bin/etcd"
	if e.Flags {
		source = "Environment=ETCD_LOG_LEVEL=info"
		for _, s := range e.settings() {
			start += fmt.Sprintf(" \\\n  --%s=%s", s[0], s[1])
		}
	}
	// A member that can't start settles into "failed" within seconds rather
	// than being started for ever.
	return fmt.Sprintf(`[Unit]
Description=etcd - highly-available key value store
Documentation=https://etcd.io/docs
After=network.target
StartLimitIntervalSec=60
StartLimitBurst=3

[Service]
Type=notify
%s
ExecStart=%s
User=etcd
Group=etcd
Restart=on-failure
RestartSec=200ms
LimitNOFILE=65536

[Install]
WantedBy=multi-user.target
`, source, start)
}

// run runs a command on etcd's machine and returns what it printed.
func (e *Etcd) run(ctx context.Context, name string, args ...string) (string, error) {
	cmd := e.Machine.Command(ctx, name, args...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		line := strings.Join(append([]string{name}, args...), " ")
		return "", fmt.Errorf("%s: %w: %s", line, err, bytes.TrimSpace(stderr.Bytes()))
	}
	return strings.TrimSpace(stdout.String()), nil
}

// Start starts etcd and waits until it serves.
func (e *Etcd) Start(ctx context.Context) error {
	_, err := e.run(ctx, "systemctl", "start", e.Unit)
	return e.explain(ctx, err)
}

// Stop stops etcd.
func (e *Etcd) Stop(ctx context.Context) error {
	_, err := e.run(ctx, "systemctl", "stop", e.Unit)
	return err
}

// Restart restarts etcd and waits until it serves or its start has failed.
func (e *Etcd) Restart(ctx context.Context) error {
	_, err := e.run(ctx, "systemctl", "restart", e.Unit)
	return e.explain(ctx, err)
}

// explain adds the unit's last words to an error.
func (e *Etcd) explain(ctx context.Context, err error) error {
	if err == nil {
		return nil
	}
	log, logErr := e.run(ctx, "journalctl", "--no-pager", "--lines=5", "--output=cat", "--unit="+e.Unit)
	if logErr != nil {
		return err
	}
	return fmt.Errorf("%w\n%s", err, log)
}

// State is the unit's ActiveState.
func (e *Etcd) State(ctx context.Context) (string, error) {
	return e.run(ctx, "systemctl", "show", "--property=ActiveState", "--value", e.Unit)
}

// Await waits until the unit's ActiveState is state, such as "active" or
// "failed", or ctx ends.
func (e *Etcd) Await(ctx context.Context, state string) error {
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	var last string
	for {
		now, err := e.State(ctx)
		if err == nil {
			last = now
		}
		if last == state {
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return e.explain(context.WithoutCancel(ctx), fmt.Errorf("%s is %q, not %q: %w", e.Unit, last, state, ctx.Err()))
		}
	}
}
