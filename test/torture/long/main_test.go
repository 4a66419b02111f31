// Package long has the real binary live with runs that are long, large or old,
// and with many of them.
package long

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"runbook/engine/journal"
	"runbook/engine/run"
	"runbook/test/program"
	"runbook/test/torture/tally"
)

// scene is a directory with a runbook and a state directory of its own.
type scene struct {
	*testing.T
	dir, book, binary string
	store             run.Store
}

func newScene(t *testing.T, steps string) *scene {
	t.Helper()
	binary, err := program.Build()
	must(t, err)
	dir := t.TempDir()
	s := &scene{T: t, dir: dir, binary: binary, book: filepath.Join(dir, "long.hcl"), store: run.Store{Dir: filepath.Join(dir, "state")}}
	must(t, os.WriteFile(s.book, []byte("runbook \"long\" {}\n"+strings.ReplaceAll(steps, "DIR", dir)), 0o600))
	return s
}

func (s *scene) command(args ...string) *exec.Cmd {
	ctx, cancel := context.WithTimeout(context.Background(), time.Hour)
	s.Cleanup(cancel)
	cmd := exec.CommandContext(ctx, s.binary, args...)
	cmd.Env = append(os.Environ(), "RUNBOOK_STATE_DIR="+s.store.Dir, "RUNBOOK_LOCK="+filepath.Join(s.dir, "lock"))
	return cmd
}

// runbook runs the binary and wants an exit code. It fails where that takes more
// memory than most, in bytes, and says how long it took.
func (s *scene) runbook(code int, most int64, args ...string) program.Ended {
	s.Helper()
	e, took, peak, err := measured(s.command(args...))
	must(s.T, err)
	if e.Code != code {
		s.Fatalf("%v: want exit code %d: %.2000s", args, code, e)
	}
	s.Logf("%s: %s, %d MiB", args[0], took.Round(time.Millisecond), peak>>20)
	if peak > most {
		s.Errorf("%v took %d MiB of memory, and may take %d", args, peak>>20, most>>20)
	}
	return e
}

// measureEnv makes the test binary run its arguments and write to the third
// descriptor how long that took, in nanoseconds, and how much memory, in bytes.
// What a process has taken at most begins with what its parent has when it is
// born, so that has to be a small one.
const measureEnv = "RUNBOOK_TEST_MEASURE"

func TestMain(m *testing.M) {
	if os.Getenv(measureEnv) == "" {
		os.Exit(m.Run())
	}
	cmd := exec.Command(os.Args[1], os.Args[2:]...)
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	began := time.Now()
	if err := cmd.Run(); cmd.ProcessState == nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(125)
	}
	fmt.Fprint(os.NewFile(3, "measured"), time.Since(began).Nanoseconds(), " ", cmd.ProcessState.SysUsage().(*syscall.Rusage).Maxrss<<10)
	os.Exit(program.Code(cmd.ProcessState))
}

// measured runs a command, and returns how long it took and its peak memory.
func measured(cmd *exec.Cmd) (e program.Ended, took time.Duration, peak int64, err error) {
	self, err := os.Executable()
	if err != nil {
		return e, 0, 0, err
	}
	r, w, err := os.Pipe()
	if err != nil {
		return e, 0, 0, err
	}
	defer r.Close()
	cmd.Args = append([]string{self}, append([]string{cmd.Path}, cmd.Args[1:]...)...)
	cmd.Path, cmd.Env, cmd.ExtraFiles = self, append(cmd.Env, measureEnv+"=1"), []*os.File{w}
	e, err = program.Run(cmd)
	if err = errors.Join(err, w.Close()); err != nil {
		return e, 0, 0, err
	}
	_, err = fmt.Fscan(r, &took, &peak)
	return e, took, peak, err
}

const mib = 1 << 20

// most is how much memory a command may take, in bytes: as much as is promised,
// and where less is tried in proportion.
func most() int64 {
	if tally.Full() {
		return 200 * mib
	}
	return 100 * mib
}

// only is the one run that there is.
func (s *scene) only() string {
	s.Helper()
	runs, err := s.store.List()
	must(s.T, err)
	if len(runs) != 1 || runs[0].Err != nil {
		s.Fatalf("not one run: %+v", runs)
	}
	return runs[0].ID
}

func (s *scene) journal(id string) string { return filepath.Join(s.store.Dir, "runs", id) }

func (s *scene) records(id string) []journal.Record {
	s.Helper()
	all, err := journal.All(s.journal(id))
	must(s.T, err)
	return all
}

// write makes a journal anew, of the records that make yields, with the checksums
// and numbers that they have to have.
func (s *scene) write(id string, make func(yield func(journal.Record))) (size int64) {
	s.Helper()
	must(s.T, os.MkdirAll(s.journal(id), 0o700))
	f, err := os.OpenFile(filepath.Join(s.journal(id), journal.FileName), os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	must(s.T, err)
	out, sum, seq := bufio.NewWriterSize(f, mib), "", 0
	make(func(r journal.Record) {
		seq++
		open := fmt.Sprintf(`{"seq":%d,"time":%q,"kind":%q,"data":%s`, seq, r.Time.Format(time.RFC3339Nano), r.Kind, r.Data)
		h := sha256.Sum256([]byte(sum + open + "}"))
		sum = hex.EncodeToString(h[:])
		n, err := fmt.Fprintf(out, "%s,\"sum\":%q}\n", open, sum)
		must(s.T, err)
		size += int64(n)
	})
	must(s.T, out.Flush())
	must(s.T, f.Close())
	return size
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
