// Command demo loses an etcd and brings it back with runbook, on a throw-away
// host with a real systemd. "make demo" builds what it needs and runs it.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"runbook/test/etcdhost"
	"runbook/test/systemdhost"
)

// limit is how long the story may take. It takes well under a minute; a hang
// ends as a failure.
const limit = 3 * time.Minute

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	if err := tell(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "\nThe demo failed:", err)
		os.Exit(1)
	}
}

// tell boots the host, tells the story on it and takes it away again.
func tell(ctx context.Context) (err error) {
	s := &story{out: os.Stdout, began: time.Now()}
	s.chapter("A control plane node", `A throw-away host boots over this machine's file system: a real systemd, its
own network, nothing in common with the machine. On it a real etcd, as a
distribution packages it.`)
	host, err := systemdhost.Boot(ctx, hostOptions())
	if err != nil {
		return err
	}
	s.host = host
	err = s.tell(ctx)
	// An interrupted story takes its host away, too.
	if closeErr := host.Close(); err == nil {
		err = closeErr
	}
	if err == nil {
		fmt.Printf("\nThe host is gone again. All of this took %s.\n", time.Since(s.began).Round(time.Second))
	}
	return err
}

func hostOptions() systemdhost.Options {
	wd, err := os.Getwd()
	if err != nil {
		wd = "."
	}
	return systemdhost.Options{
		Name: "cp1",
		Disk: []string{"/var/lib", "/var/backups"},
		Bind: []string{wd + "/bin/runbook:/usr/local/bin/runbook", wd + "/runbooks:/root/runbooks"},
	}
}

func (s *story) tell(ctx context.Context) error {
	for _, part := range []func(context.Context) error{
		s.install, s.backup, s.disaster, s.plan, s.kill, s.look, s.resume, s.compare,
	} {
		if err := part(ctx); err != nil {
			return err
		}
	}
	return nil
}

const keys = 5000

func (s *story) install(ctx context.Context) (err error) {
	if s.etcd, err = etcdhost.Install(ctx, s.host, etcdhost.Options{}); err != nil {
		return err
	}
	if err := s.run(ctx, "systemctl start etcd"); err != nil {
		return err
	}
	if err := s.etcd.Seed(ctx, keys); err != nil {
		return err
	}
	if s.before, err = s.etcd.Digest(ctx); err != nil {
		return err
	}
	s.say("Into it go the objects of a cluster: %s", s.before)
	return s.run(ctx, "etcdctl get --prefix /registry/pods/ --keys-only --limit=3 | sed '/^$/d'")
}

func (s *story) backup(ctx context.Context) error {
	s.chapter("The backup, on a calm day", "The runbook that is run every night.")
	return s.runAll(ctx,
		"install -d -m 0700 /var/backups/etcd",
		"runbook run runbooks/etcd-backup.hcl --yes",
		"ls -l /var/backups/etcd")
}

func (s *story) disaster(ctx context.Context) error {
	s.chapter("The disaster", `The first MiB of the database is overwritten and the write-ahead log is gone.
A running etcd serves from memory and shows nothing.`)
	const db = "/var/lib/etcd/member/snap/db"
	if err := s.etcd.Settle(ctx); err != nil {
		return err
	}
	if err := s.runAll(ctx,
		"dd if=/dev/urandom of="+db+" bs=1M count=1 conv=notrunc status=none",
		"rm -r /var/lib/etcd/member/wal",
		"etcdctl endpoint health",
	); err != nil {
		return err
	}
	s.say("Then it restarts.")
	s.broken = time.Now()
	if err := s.fails(ctx, 1, "systemctl restart etcd"); err != nil {
		return err
	}
	if err := s.etcd.Await(ctx, "failed"); err != nil {
		return err
	}
	return s.fails(ctx, 3, "systemctl status etcd --no-pager --lines=0")
}

func (s *story) plan(ctx context.Context) error {
	s.chapter("What would the restore do?", "Planning only looks. The host is as broken afterwards as it was before.")
	return s.run(ctx, "runbook plan runbooks/etcd-restore-systemd.hcl")
}

// kill runs the restore under strace, which kills it at the instruction that
// puts the new data into the old one's place.
func (s *story) kill(ctx context.Context) error {
	s.chapter("The restore, and a power cut in the middle", `strace kills the process with SIGKILL when it is about to put the restored
data in place: nothing can be cleaned up, nothing can be said any more.`)
	const killed = 128 + 9
	return s.fails(ctx, killed, "strace -f -qqq -o /dev/null -P etcd -e inject='?rename,?renameat,renameat2:signal=KILL' \\\n"+
		"       runbook run runbooks/etcd-restore-systemd.hcl --yes")
}

func (s *story) look(ctx context.Context) error {
	s.chapter("What does the disk say?", "The journal knows what was done, and what was about to be done.")
	return s.runAll(ctx, "runbook list", "runbook show", "ls -d /var/lib/etcd*")
}

func (s *story) resume(ctx context.Context) error {
	s.chapter("Resume", "The step that was in flight is examined, not repeated blindly.")
	return s.runAll(ctx, "runbook resume", "systemctl is-active etcd")
}

func (s *story) compare(ctx context.Context) error {
	s.chapter("Is every key back?", "Keys, values, versions and revisions are compared with those before the disaster.")
	after, err := s.etcd.Digest(ctx)
	if err != nil {
		return err
	}
	s.say("before: %s\nafter:  %s", s.before, after)
	if after != s.before {
		return fmt.Errorf("etcd holds %s after the restore, and held %s", after, s.before)
	}
	s.say("Every key is back, %s after etcd failed. The damaged data is kept:", time.Since(s.broken).Round(time.Second))
	return s.run(ctx, "ls -d /var/lib/etcd*")
}
