package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"runbook/engine/journal"
	"runbook/engine/run"
)

type suite struct {
	runbook, etcdutl string
	rounds           int
	dir, snapshot    string
}

// cost is what something took.
type cost struct {
	wall, cpu time.Duration
	step      time.Duration // of a run: from its step's intent to its outcome
	anonymous int64         // the most private memory of any one process, in bytes
}

func (c cost) String() string {
	return fmt.Sprintf("%8.2f s %8.2f s", c.wall.Seconds(), c.cpu.Seconds())
}

// best keeps the least of each.
func (c cost) best(o cost) cost {
	if c.wall == 0 {
		return o
	}
	return cost{min(c.wall, o.wall), min(c.cpu, o.cpu), min(c.step, o.step), max(c.anonymous, o.anonymous)}
}

// compare lets both sides take turns on one file system and prints the
// fastest of each.
func (s *suite) compare() error {
	info, err := os.Stat(s.snapshot)
	if err != nil {
		return err
	}
	var fs unix.Statfs_t
	if err := unix.Statfs(s.dir, &fs); err != nil {
		return err
	}
	var theirs, ours, floor, status, verify cost
	for range s.rounds {
		for _, turn := range []struct {
			of *cost
			do func() (cost, error)
		}{{&theirs, s.etcdutlRestore}, {&ours, s.runbookRestore}, {&floor, s.copyAndSync}, {&status, s.etcdutlStatus}, {&verify, s.runbookVerify}} {
			c, err := turn.do()
			if err != nil {
				return err
			}
			*turn.of = turn.of.best(c)
			unix.Sync()
		}
	}
	name, target := fileSystem(fs.Type)
	step := cost{wall: ours.step}
	fmt.Printf("\n%.2f GB on %s\n\n", float64(info.Size())/1e9, name)
	fmt.Printf("  %-44s %10s %10s\n", "", "time", "processor")
	fmt.Printf("  %-44s %s\n", "copy and sync alone", floor)
	fmt.Printf("  %-44s %s\n", "etcdutl snapshot restore, with a bump", theirs)
	fmt.Printf("  %-44s %8.2f s             %.2f of etcdutl's time (target: %s), %.2f of copy and sync\n", "runbook: the step", step.wall.Seconds(), ratio(step, theirs), target, ratio(step, floor))
	fmt.Printf("  %-44s %s  %.2f of etcdutl's time\n", "runbook: the whole run, with its planning", ours, ratio(ours, theirs))
	fmt.Printf("  %-44s %s\n", "etcdutl snapshot status", status)
	fmt.Printf("  %-44s %s  %.2f of etcdutl's time (target: 1)\n", "runbook: SHA-256, structure and every value", verify, ratio(verify, status))
	fmt.Printf("  private memory of any process of runbook: %d MiB in the restore, %d MiB in the verification (target: 128 MiB)\n", ours.anonymous>>20, verify.anonymous>>20)
	return nil
}

func ratio(a, b cost) float64 { return a.wall.Seconds() / b.wall.Seconds() }

func fileSystem(kind int64) (name, target string) {
	switch kind {
	case unix.EXT4_SUPER_MAGIC:
		return "ext4", "0.55"
	case unix.XFS_SUPER_MAGIC:
		return "XFS with reflink", "0.3"
	}
	return fmt.Sprintf("a file system of type %#x", kind), "none"
}

func (s *suite) out() string { return filepath.Join(s.dir, "etcd") }

func (s *suite) etcdutlRestore() (cost, error) {
	defer os.RemoveAll(s.out())
	return measure(exec.Command(s.etcdutl, "snapshot", "restore", s.snapshot, "--data-dir", s.out(), "--name", memberName,
		"--initial-cluster", memberName+"="+peerURL, "--initial-advertise-peer-urls", peerURL,
		"--bump-revision", "1000000000", "--mark-compacted"))
}

func (s *suite) etcdutlStatus() (cost, error) {
	return measure(exec.Command(s.etcdutl, "snapshot", "status", s.snapshot))
}

func (s *suite) runbookRestore() (cost, error) {
	defer os.RemoveAll(s.out())
	c, err := s.run("run", fmt.Sprintf(`runbook "bench" {}
step "etcd_snapshot_restore" "restore" {
  snapshot = %q
  member = {
    name            = %q
    data_dir        = %q
    peer_urls       = [%q]
    initial_cluster = "%s=%s"
  }
}
`, s.snapshot, memberName, s.out(), peerURL, memberName, peerURL), "--yes")
	if err != nil {
		return c, err
	}
	c.step, err = s.stepTime()
	return c, err
}

func (s *suite) runbookVerify() (cost, error) {
	return s.run("plan", fmt.Sprintf("runbook \"bench\" {}\nstep \"etcd_snapshot_verify\" \"verify\" {\n  path = %q\n}\n", s.snapshot))
}

func (s *suite) run(command, text string, flags ...string) (cost, error) {
	book := filepath.Join(s.dir, "bench.hcl")
	if err := os.WriteFile(book, []byte(text), 0o600); err != nil {
		return cost{}, err
	}
	if err := os.RemoveAll(s.state()); err != nil {
		return cost{}, err
	}
	cmd := exec.Command(s.runbook, append([]string{command, book}, flags...)...)
	cmd.Env = append(os.Environ(), "RUNBOOK_STATE_DIR="+s.state(), "RUNBOOK_LOCK="+filepath.Join(s.dir, "lock"))
	return measure(cmd)
}

func (s *suite) state() string { return filepath.Join(s.dir, "state") }

// stepTime is how long the run's only step took, from the record that says
// that it begins to the one that says that it is done.
func (s *suite) stepTime() (time.Duration, error) {
	runs, err := run.Store{Dir: s.state()}.List()
	if err != nil || len(runs) != 1 {
		return 0, fmt.Errorf("%d runs: %w", len(runs), err)
	}
	records, err := journal.All(filepath.Join(s.state(), "runs", runs[0].ID))
	if err != nil {
		return 0, err
	}
	var began, ended time.Time
	for _, r := range records {
		switch r.Kind {
		case "intent":
			began = r.Time
		case "done":
			ended = r.Time
		}
	}
	return ended.Sub(began), nil
}

// copyAndSync is the least that a restore has to do.
func (s *suite) copyAndSync() (cost, error) {
	to := filepath.Join(s.dir, "copy")
	defer os.Remove(to)
	return timed(func() (time.Duration, error) {
		src, err := os.Open(s.snapshot)
		if err != nil {
			return 0, err
		}
		defer src.Close()
		dst, err := os.Create(to)
		if err != nil {
			return 0, err
		}
		if unix.IoctlFileClone(int(dst.Fd()), int(src.Fd())) != nil {
			_, err = io.Copy(dst, src)
		}
		return 0, errors.Join(err, dst.Sync(), dst.Close())
	})
}

func timed(f func() (time.Duration, error)) (cost, error) {
	began := time.Now()
	cpu, err := f()
	return cost{wall: time.Since(began), cpu: cpu}, err
}

// measure runs a program.
func measure(cmd *exec.Cmd) (cost, error) {
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	most := int64(0)
	c, err := timed(func() (time.Duration, error) {
		if err := cmd.Start(); err != nil {
			return 0, err
		}
		done := make(chan struct{})
		watched := make(chan struct{})
		go func() {
			defer close(watched)
			for {
				most = max(most, anonymous(cmd.Process.Pid))
				select {
				case <-done:
					return
				case <-time.After(20 * time.Millisecond):
				}
			}
		}()
		err := cmd.Wait()
		close(done)
		<-watched
		return cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime(), err
	})
	if err != nil {
		return c, fmt.Errorf("%s: %w\n%s", strings.Join(cmd.Args, " "), err, out.String())
	}
	c.anonymous = most
	return c, nil
}

// anonymous is the private memory of a process or of its largest child.
func anonymous(pid int) int64 {
	most := int64(0)
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0 // it has ended
	}
	for _, line := range strings.Split(string(text), "\n") {
		if rest, ok := strings.CutPrefix(line, "RssAnon:"); ok {
			kb, _ := strconv.ParseInt(strings.TrimSpace(strings.TrimSuffix(rest, " kB")), 10, 64)
			most = kb << 10
		}
	}
	threads, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	for _, t := range threads {
		children, _ := os.ReadFile(t) // the thread may have ended
		for _, c := range strings.Fields(string(children)) {
			if id, err := strconv.Atoi(c); err == nil {
				most = max(most, anonymous(id))
			}
		}
	}
	return most
}
