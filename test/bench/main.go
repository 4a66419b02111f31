// Command bench measures runbook against the floor of what it has to do, both
// in one go, and prints the ratios. It asserts nothing: machines differ, and
// are noisy.
package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"

	"runbook/engine/journal"
	"runbook/engine/run"
)

func main() {
	if err := bench(); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func bench() error {
	dir, err := os.MkdirTemp("", "runbook-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir) // a throw-away
	b := &suite{dir: dir, binary: filepath.Join("bin", "runbook")}
	if b.binary, err = filepath.Abs(b.binary); err != nil {
		return err
	}
	for _, part := range []func() error{b.steps, b.loading, b.starts, b.others} {
		if err := part(); err != nil {
			return err
		}
	}
	return nil
}

type suite struct{ dir, binary string }

// steps compares runs of n moves with the same renames and syncs done by hand.
func (b *suite) steps() error {
	fmt.Printf("A durable step, beside the floor of its renames and fsyncs (target: 1.5 times the floor and 0.5 ms)\n\n")
	fmt.Printf("%8s %14s %14s %8s %10s %10s\n", "steps", "runbook/step", "floor/step", "ratio", "plan", "memory")
	for _, n := range []int{10, 100, 1000, 10000} {
		floor, err := b.floor(n)
		if err != nil {
			return err
		}
		r, err := b.run(n)
		if err != nil {
			return err
		}
		per, least := r.running/time.Duration(n), floor/time.Duration(n)
		mark := "within the target"
		if per > least*3/2+500*time.Microsecond {
			mark = "beyond the target"
		}
		fmt.Printf("%8d %14s %14s %8.2f %10s %7d MB  %s\n", n, per.Round(time.Microsecond), least.Round(time.Microsecond),
			float64(per)/float64(least), r.planning.Round(time.Millisecond), r.memory>>20, mark)
	}
	return nil
}

// floor does what n moves have to: a record, the rename, its directory, a
// record, each synced.
func (b *suite) floor(n int) (time.Duration, error) {
	dir := filepath.Join(b.dir, fmt.Sprintf("floor-%d", n))
	if err := files(dir, n); err != nil {
		return 0, err
	}
	log, err := os.OpenFile(filepath.Join(dir, "log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return 0, err
	}
	defer log.Close()
	record := bytes.Repeat([]byte("x"), 400)
	began := time.Now()
	for i := range n {
		for _, step := range []func() error{
			func() error { return synced(log, record) },
			func() error { return os.Rename(name(dir, "a", i), name(dir, "b", i)) },
			func() error { return syncDir(dir) },
			func() error { return synced(log, record[:200]) },
		} {
			if err := step(); err != nil {
				return 0, err
			}
		}
	}
	return time.Since(began), nil
}

func synced(f *os.File, record []byte) error {
	if _, err := f.Write(record); err != nil {
		return err
	}
	return f.Sync()
}

func syncDir(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer f.Close()
	return f.Sync()
}

func name(dir, kind string, i int) string { return filepath.Join(dir, fmt.Sprintf("%s%d", kind, i)) }

// files makes n files in a directory that is synced.
func files(dir string, n int) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	for i := range n {
		if err := os.WriteFile(name(dir, "a", i), nil, 0o600); err != nil {
			return err
		}
	}
	syscall.Sync()
	return nil
}

type result struct {
	planning, running time.Duration
	memory            int64 // in bytes
}

// run runs a runbook of n moves. The time of its steps is that between the
// journal's first and last record.
func (b *suite) run(n int) (result, error) {
	dir := filepath.Join(b.dir, fmt.Sprintf("run-%d", n))
	if err := files(dir, n); err != nil {
		return result{}, err
	}
	book := filepath.Join(b.dir, fmt.Sprintf("%d.hcl", n))
	if err := os.WriteFile(book, []byte(moves(dir, n)), 0o600); err != nil {
		return result{}, err
	}
	planning, _, err := b.timed("plan", book)
	if err != nil {
		return result{}, err
	}
	_, memory, err := b.timed("run", book, "--yes")
	if err != nil {
		return result{}, err
	}
	records, err := journal.All(b.newest())
	if err != nil {
		return result{}, err
	}
	return result{planning: planning, running: records[len(records)-1].Time.Sub(records[0].Time), memory: memory}, nil
}

func moves(dir string, n int) string {
	var s strings.Builder
	s.WriteString("runbook \"bench\" {}\n")
	for i := range n {
		fmt.Fprintf(&s, "step \"move\" \"s%d\" {\n  from = %q\n  to   = %q\n}\n", i, name(dir, "a", i), name(dir, "b", i))
	}
	return s.String()
}

// timed runs the binary and returns how long it took and its peak memory.
func (b *suite) timed(args ...string) (time.Duration, int64, error) {
	cmd := exec.Command(b.binary, args...)
	cmd.Env = append(os.Environ(), "RUNBOOK_STATE_DIR="+b.state(), "RUNBOOK_LOCK="+filepath.Join(b.dir, "lock"))
	var errors bytes.Buffer
	cmd.Stderr = &errors
	began := time.Now()
	if err := cmd.Run(); err != nil {
		return 0, 0, fmt.Errorf("%s: %w\n%s", strings.Join(args, " "), err, errors.String())
	}
	took := time.Since(began)
	return took, cmd.ProcessState.SysUsage().(*syscall.Rusage).Maxrss << 10, nil
}

func (b *suite) state() string { return filepath.Join(b.dir, "state") }

// newest is the directory of the newest run.
func (b *suite) newest() string {
	runs, err := run.Store{Dir: b.state()}.List()
	if err != nil || len(runs) == 0 {
		return ""
	}
	return filepath.Join(b.state(), "runs", runs[0].ID)
}

// loading measures how long it takes to read and replay the journal of the
// largest run.
func (b *suite) loading() error {
	began := time.Now()
	records, err := journal.All(b.newest())
	if err != nil {
		return err
	}
	if _, err := run.Replay(records); err != nil {
		return err
	}
	took := time.Since(began)
	raw, err := os.ReadFile(filepath.Join(b.newest(), journal.FileName))
	if err != nil {
		return err
	}
	began = time.Now()
	dec := json.NewDecoder(bytes.NewReader(raw))
	for {
		var any json.RawMessage
		if err := dec.Decode(&any); err == io.EOF {
			break
		} else if err != nil {
			return err
		}
	}
	plain := time.Since(began)
	fmt.Printf("\nThe journal of 10,000 steps (%d records, %.1f MB): loaded in %s, %.2f times what scanning its JSON takes (target: 300 ms)\n",
		len(records), float64(len(raw))/1e6, took.Round(time.Millisecond), float64(took)/float64(plain))
	return nil
}

// starts measures commands on a small file, beside starting any process.
func (b *suite) starts() error {
	small := filepath.Join(b.dir, "small.hcl")
	if err := files(filepath.Join(b.dir, "small"), 3); err != nil {
		return err
	}
	if err := os.WriteFile(small, []byte(moves(filepath.Join(b.dir, "small"), 3)), 0o600); err != nil {
		return err
	}
	nothing := median(func() error { return exec.Command("true").Run() })
	fmt.Printf("\nStarting (median of 21; /bin/true takes %s)\n\n", nothing)
	for _, c := range []struct {
		args   []string
		target time.Duration
	}{{[]string{"--help"}, 20 * time.Millisecond}, {[]string{"plan", small}, 50 * time.Millisecond}} {
		took := median(func() error { _, _, err := b.timed(c.args...); return err })
		fmt.Printf("  runbook %-8s %10s  (target: %s)\n", c.args[0], took, c.target)
	}
	return nil
}

func median(f func() error) time.Duration {
	var all []time.Duration
	for range 21 {
		began := time.Now()
		if f() == nil {
			all = append(all, time.Since(began))
		}
	}
	if len(all) == 0 {
		return 0
	}
	slices.Sort(all)
	return all[len(all)/2].Round(10 * time.Microsecond)
}

// others carries 100 steps out with other tools, where they are installed.
func (b *suite) others() error {
	for _, t := range []struct {
		name, file, text string
		prepare, run     []string
	}{
		{"terraform", "main.tf", terraform(100), []string{"init", "-input=false"}, []string{"apply", "-auto-approve", "-input=false"}},
		{"ansible-playbook", "play.yaml", ansible(100), nil, []string{"-i", "localhost,", "-c", "local", "play.yaml"}},
	} {
		if _, err := exec.LookPath(t.name); err != nil {
			fmt.Printf("\n100 steps with %s: it is not installed here.\n", t.name)
			continue
		}
		took, err := b.other(t.name, t.file, t.text, t.prepare, t.run)
		if err != nil {
			fmt.Printf("\n100 steps with %s: %v\n", t.name, err)
			continue
		}
		fmt.Printf("\n100 steps with %s: %s\n", t.name, took.Round(time.Millisecond))
	}
	fmt.Printf("\n%s, %d cores\n", runtime.Version(), runtime.NumCPU())
	return nil
}

func (b *suite) other(tool, file, text string, prepare, run []string) (time.Duration, error) {
	dir := filepath.Join(b.dir, tool)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return 0, err
	}
	if err := os.WriteFile(filepath.Join(dir, file), []byte(text), 0o600); err != nil {
		return 0, err
	}
	var began time.Time
	for _, args := range [][]string{prepare, run} {
		if args == nil {
			continue
		}
		cmd := exec.Command(tool, args...)
		cmd.Dir = dir
		cmd.Env = append(os.Environ(), "CHECKPOINT_DISABLE=1")
		began = time.Now()
		if out, err := cmd.CombinedOutput(); err != nil {
			return 0, fmt.Errorf("%w: %.300s", err, out)
		}
	}
	return time.Since(began), nil
}

// terraform is a chain of n resources that run a program each.
func terraform(n int) string {
	var s strings.Builder
	for i := range n {
		after := ""
		if i > 0 {
			after = fmt.Sprintf("  depends_on = [terraform_data.s%d]\n", i-1)
		}
		fmt.Fprintf(&s, "resource \"terraform_data\" \"s%d\" {\n%s  provisioner \"local-exec\" { command = \"true\" }\n}\n", i, after)
	}
	return s.String()
}

func ansible(n int) string {
	return "- hosts: all\n  gather_facts: false\n  tasks:\n" + strings.Repeat("    - command: \"true\"\n", n)
}
