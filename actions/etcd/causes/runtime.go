package causes

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"syscall"

	"runbook/actions/etcd/diagnose"
)

// runtimeState is how the container runtime answers.
type runtimeState struct {
	socket string
	err    error // why its socket takes no connection
}

// connectRuntime tries its socket. One that listens and hangs counts as there.
func (h host) connectRuntime(ctx context.Context, socket string) runtimeState {
	conn, err := (&net.Dialer{}).DialContext(ctx, "unix", h.at(socket))
	if err == nil {
		err = conn.Close()
	}
	return runtimeState{socket: socket, err: err}
}

// down reports whether nothing listens at the socket.
func (r runtimeState) down() bool {
	return errors.Is(r.err, fs.ErrNotExist) || errors.Is(r.err, syscall.ECONNREFUSED)
}

// lookAtRuntime looks at the container runtime.
func lookAtRuntime(ctx context.Context, l *look) []finding {
	if !l.hosted() {
		return nil
	}
	name := l.kubelet().runtimeUnit()
	u, r := l.units()[name], l.runtime()
	start := remedy{Name: diagnose.StartRuntime, Command: "systemctl start " + name}
	const without = " Without it kubelet starts no container."
	switch {
	case !u.known():
		return nil // it is started by something else, or systemd can't be asked
	case u.masked() && !u.running():
		start.Command = "systemctl unmask --now " + name
		return []finding{cause(classRuntimeMasked, diagnose.Mistake, name, fmt.Sprintf("The container runtime (%s) is masked: systemd doesn't start it.%s", name, without), "Unmask and start it.", start)}
	case u.failing(), u.looping(l.now):
		line := fatalLine(l.journal(ctx, name, ""))
		return []finding{cause(classRuntimeFails, diagnose.Mistake, name, fmt.Sprintf("The container runtime (%s) can't start: it ended with %s.%s%s", name, u.end(), saying("It", line), without), "Put right what it says (journalctl -u "+name+" -n 50 has more), then start it anew.",
			remedy{Command: "systemctl restart " + name})}
	case !u.running() && u.active != "activating":
		return []finding{cause(classRuntimeDown, diagnose.Mistake, name, fmt.Sprintf("The container runtime (%s) is stopped%s.%s", name, u.offToo(), without), "Start it.", start)}
	case u.running() && r.down():
		start.Command = "systemctl restart " + name
		return []finding{cause(classRuntimeSocket, diagnose.Mistake, name, fmt.Sprintf("The container runtime (%s) runs, and nothing listens at its socket %s.%s", name, r.socket, without), "Restart it: it makes its socket anew, and containers go on running.", start)}
	}
	return nil
}

// end is how a unit ended.
func (u unit) end() string {
	if u.result == "exit-code" {
		return fmt.Sprintf("exit status %d", u.status)
	}
	if u.result == "" || u.result == "success" {
		return "no error of its own"
	}
	return "the result " + u.result
}

// off is how a unit is kept from being started at boot; empty if it isn't.
func (u unit) off() string {
	switch {
	case u.masked():
		return "masked"
	case u.file == "disabled":
		return "disabled"
	}
	return ""
}

// offToo says that a unit isn't started at boot either.
func (u unit) offToo() string {
	if u.file == "disabled" {
		return " and disabled"
	}
	return ""
}
