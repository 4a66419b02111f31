package causes

import (
	"context"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"

	"runbook/actions/etcd/diagnose"
)

// lookAtUnit looks at the unit that starts etcd, where one does.
func lookAtUnit(_ context.Context, l *look) []finding {
	name := l.o.Unit
	u, asked := l.units()[name]
	if name == "" || !asked {
		return nil
	}
	found := l.unitFiles(u)
	start := remedy{Name: diagnose.StartUnit, Command: "systemctl start " + name}
	switch {
	case !u.known():
		f := cause(classUnitGone, diagnose.Damage, name, fmt.Sprintf("systemd knows no unit %s: nothing starts etcd.", name), "Put its file back, then: systemctl daemon-reload.", remedy{Command: "systemctl cat " + name})
		return append(found, l.fromArchive(f, "/etc/systemd/system/"+name))
	case u.masked() && !u.running():
		start.Command = "systemctl unmask --now " + name
		return append(found, cause(classUnitMasked, diagnose.Mistake, name, fmt.Sprintf("%s is masked: systemd doesn't start etcd.", name), "Unmask it.", start))
	case u.failing():
		return append(found, l.unitFails(u))
	case !u.running() && u.active != "activating":
		f := mistake(classUnitDown, name, diagnose.Restart, fmt.Sprintf("%s is stopped%s: nobody has started etcd.", name, u.offToo()), "Start it, once its data is well.", start.Command)
		return append(found, f)
	case u.off() != "":
		return append(found, note(classUnitOff, name, fmt.Sprintf("%s runs and is %s: after the next boot it won't.", name, u.off()), "Have it started at boot.", "systemctl unmask "+name+"; systemctl enable "+name))
	}
	return found
}

// unitFails tells of a unit that ends again and again. Its data may be why, so
// that it needs no more than another start.
func (l *look) unitFails(u unit) finding {
	line := fatalLine(l.said())
	what := fmt.Sprintf("%s ended with %s", u.name, u.end())
	if u.active == "failed" {
		what += ", and systemd starts it no more"
	}
	if u.result == "start-limit-hit" {
		what = fmt.Sprintf("%s was started and ended so often that systemd has given up (start-limit-hit)", u.name)
	}
	f := mistake(classUnitFails, u.name, diagnose.Restart, what+"."+saying("It", line), "Once its cause is gone, start it.", "systemctl reset-failed "+u.name+" && systemctl start "+u.name)
	if line != "" {
		f.Said = shortened(line)
	}
	return f
}

// fromArchive has a file put back where an archive holds it.
func (l *look) fromArchive(f finding, path string) finding {
	if in, ok := l.archives()[path]; ok {
		f.Path, f.Finding = path, fmt.Sprintf("%s %s holds %s.", f.Finding, in.archive, path)
		f.Remedy = remedy{Name: diagnose.PutBack, Source: in.archive, Command: commandToPutBack(path, in.archive)}
	}
	return f
}

// unitFiles looks at what the unit needs before etcd is started.
func (l *look) unitFiles(u unit) []finding {
	s := l.etcd()
	if s.unit == nil || u.running() {
		return nil
	}
	var found []finding
	if s.lacks != "" {
		f := cause(classNoEnvironment, diagnose.Damage, s.lacks, fmt.Sprintf("%s reads its variables from %s (EnvironmentFile=), which isn't there: systemd doesn't start it.", u.name, s.lacks), "Put it back.", remedy{Command: "systemctl cat " + u.name})
		found = append(found, l.fromArchive(f, s.lacks))
	}
	for _, line := range s.unit.ExecStart {
		program, _, _ := strings.Cut(strings.TrimLeft(line, "@-:+!"), " ")
		if program == "" || strings.ContainsAny(program, "$%") || l.hasProgram(program) {
			continue
		}
		found = append(found, cause(classNoProgram, diagnose.Damage, program, fmt.Sprintf("%s starts %s, which isn't there or can't be executed.", u.name, program), "Install it again, in the version that the data is of.", remedy{Command: "command -v etcd; systemctl cat " + u.name}))
	}
	return found
}

func (l *look) hasProgram(program string) bool {
	if !filepath.IsAbs(program) {
		return true // systemd looks for it along a path of its own
	}
	_, err := exec.LookPath(l.at(program))
	return err == nil
}
