package disaster

import (
	"context"
	"errors"
	"os/exec"
	"strings"
	"time"

	"runbook/test/program"
	"runbook/test/pty"
)

// A Machine is where commands are run: a host seen from outside, or this one.
type Machine interface {
	Command(ctx context.Context, name string, args ...string) *exec.Cmd
}

// unbroken is wider than any line.
const unbroken = 1 << 16

// prompt is what a question ends with.
const prompt = "[yes/no]"

// A Session is what somebody typed at a terminal, and what it showed.
type Session struct {
	Commands []string
	Code     int // of the last command
	Answers  int
	Lines    int
	Took     time.Duration
	Screen   string
	said     string
}

// Types runs a command line on a terminal of a size, says yes to whatever it
// asks, and adds it to the session.
func (s *Session) Types(ctx context.Context, m Machine, width, height int, line string) error {
	begun := time.Now()
	cmd := m.Command(ctx, "sh", "-c", line)
	cmd.Env = append(cmd.Env, "TERM=xterm")
	t, err := pty.Start(cmd, width, height)
	if err != nil {
		return err
	}
	answered := 0
	for t.Read() {
		if strings.Count(t.Raw(), prompt) > answered {
			answered++
			if err := t.Type("yes"); err != nil {
				return errors.Join(err, t.Wait())
			}
		}
	}
	err = t.Wait()
	if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) {
		return err
	}
	shown := t.Screen.String()
	s.Commands = append(s.Commands, line)
	s.Code = program.Code(cmd.ProcessState)
	s.Answers += answered
	s.Lines += strings.Count(shown, "\n")
	s.Took += time.Since(begun)
	s.Screen += "# " + line + "\n" + shown
	t.Screen.Resize(unbroken, height) // a line that the terminal broke is one to whoever copies it
	s.said += t.Screen.String()
	return ctx.Err()
}

// Said is what was shown in words, wherever lines were broken.
func (s *Session) Said() string { return strings.Join(strings.Fields(s.said), " ") }
