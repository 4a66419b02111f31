package fault

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"

	"github.com/zclconf/go-cty/cty"
	"golang.org/x/sys/unix"

	"runbook/engine"
)

var killProcessSpec = engine.Spec{
	Name: "fault_kill_process",
	Doc: "Kills processes with SIGKILL, as the kernel does when memory runs out. " +
		"Exactly one of unit and name is set. Where no such process runs, there is nothing to do. It can't be undone; what watches over a process may start it again." + onlyInDrills,
	Destroys: true,
	Attributes: []engine.Attribute{
		{Name: "unit", Type: cty.String, Doc: "The systemd unit whose main process is killed."},
		{Name: "name", Type: cty.String, Doc: "The name of the processes as ps(1) shows it, such as etcd: at most 15 characters."},
	},
	Results: []engine.Attribute{{Name: "pids", Type: cty.List(cty.Number), Doc: "The processes that were killed."}},
	Example: `step "fault_kill_process" "out_of_memory" {
  name = "etcd"
}`,
	New: func() engine.Action { return new(killProcess) },
}

type killProcess struct {
	Unit *string `cty:"unit"`
	Name *string `cty:"name"`
}

var _ engine.Action = (*killProcess)(nil)

// process is one process for as long as it lives: another one with its number
// has begun at another time.
type process struct {
	PID   int    `json:"pid"`
	Began string `json:"began"` // in ticks since the boot
}

// Plan implements engine.Action. The numbers are notes: a process may have been
// started anew by the time of the step, and is as good to kill.
func (a *killProcess) Plan(ctx context.Context, w engine.World) (engine.Change, error) {
	what, found, err := a.find(ctx, w)
	if err != nil {
		return engine.Change{}, err
	}
	c := engine.Change{Results: engine.Result{"pids": pids(found)}}
	if len(found) == 0 {
		return c, nil
	}
	c.Items = []engine.Item{{Target: what, Before: "running", After: "killed with SIGKILL", Note: fmt.Sprint(pids(found))}}
	c.Repeats = true // what watches over the process may have started another one
	c.Irreversible = "a process that was killed isn't brought back; what watches over it may start it again"
	return c, c.SetData(found)
}

func (a *killProcess) find(ctx context.Context, w engine.World) (string, []process, error) {
	if (a.Unit == nil) == (a.Name == nil) {
		return "", nil, engine.Errorf("fault_kill_process", "one of unit and name has to be set").WithHint("Set unit or name.").WithAttribute("name")
	}
	if a.Name != nil {
		return "process " + *a.Name, named(*a.Name), nil
	}
	u, err := w.Unit(ctx, *a.Unit)
	if err != nil || u.MainPID == 0 {
		return "unit " + *a.Unit, nil, err
	}
	p, _, err := processAt(u.MainPID)
	return "unit " + *a.Unit, []process{p}, err
}

// named finds the processes of that name.
func named(name string) []process {
	stats, _ := filepath.Glob("/proc/[0-9]*/stat") // the pattern is a good one
	var found []process
	for _, path := range stats {
		pid, err := strconv.Atoi(filepath.Base(filepath.Dir(path)))
		if err != nil || pid == os.Getpid() {
			continue
		}
		if p, comm, err := processAt(pid); err == nil && comm == name {
			found = append(found, p)
		}
	}
	return found
}

// processAt reads /proc/PID/stat: the name stands in brackets and may hold
// some itself; the time of the start is the 22nd field. A zombie is no process.
func processAt(pid int) (process, string, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return process{}, "", engine.Errorf(fmt.Sprintf("process %d", pid), "%w", err)
	}
	from, to := bytes.IndexByte(text, '('), bytes.LastIndexByte(text, ')')
	fields := bytes.Fields(text[to+1:])
	if from < 0 || len(fields) < 20 || string(fields[0]) == "Z" {
		return process{}, "", engine.Errorf(fmt.Sprintf("process %d", pid), "it has ended")
	}
	return process{PID: pid, Began: string(fields[19])}, string(text[from+1 : to]), nil
}

func pids(all []process) []int {
	out := []int{}
	for _, p := range all {
		out = append(out, p.PID)
	}
	return out
}

// Apply implements engine.Action.
func (a *killProcess) Apply(ctx context.Context, c engine.Change, r engine.Reporter) (engine.Result, error) {
	if c.Empty() {
		return c.Results, nil
	}
	var all []process
	if err := c.GetData(&all); err != nil {
		return nil, err
	}
	for _, p := range all {
		r.Progress(engine.Progress{Doing: fmt.Sprintf("killing process %d", p.PID)})
		if err := p.kill(ctx); err != nil {
			return nil, engine.Errorf(fmt.Sprintf("process %d", p.PID), "killing it: %w", err).WithHint("Look what it does: ps -o stat,wchan -p %d", p.PID)
		}
	}
	return c.Results, nil
}

// kill kills the process and waits until it has ended. A file descriptor of the
// process is what makes sure that it is not another one by now.
func (p process) kill(ctx context.Context) error {
	fd, err := unix.PidfdOpen(p.PID, 0)
	if errors.Is(err, unix.ESRCH) {
		return nil
	}
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	if now, _, err := processAt(p.PID); err != nil || now != p {
		return nil // it has ended by itself
	}
	if err := unix.PidfdSendSignal(fd, unix.SIGKILL, nil, 0); err != nil && !errors.Is(err, unix.ESRCH) {
		return err
	}
	return await(ctx, fd)
}

// await waits until the process of a file descriptor has ended.
func await(ctx context.Context, fd int) error {
	for ctx.Err() == nil {
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, 100)
		if n > 0 {
			return nil
		}
		if err != nil && !errors.Is(err, unix.EINTR) {
			return err
		}
	}
	return ctx.Err()
}

// Undo implements engine.Action; there is nothing that it could do.
func (a *killProcess) Undo(context.Context, engine.Change, engine.Reporter) error { return nil }
