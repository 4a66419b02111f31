package environment

import (
	"strings"
	"testing"

	"runbook/test/program"
	"runbook/test/torture/tally"
)

// unit installs a unit that can be started once a file is there, and stopped
// once another is.
func unit(t *testing.T, service string) {
	t.Helper()
	sh(t, "cat > /run/systemd/system/slow.service <<'EOF'\n[Service]\n"+service+"\nEOF\nsystemctl daemon-reload")
	t.Cleanup(func() {
		sh(t, "touch /tmp/up /tmp/down; systemctl stop slow.service; systemctl reset-failed; "+
			"rm -f /run/systemd/system/slow.service /tmp/up /tmp/down; systemctl daemon-reload")
	})
}

const slow = `ExecStartPre=/bin/sh -c 'until [ -e /tmp/up ]; do sleep 0.05; done'
ExecStart=/bin/sleep infinity
ExecStop=/bin/sh -c 'until [ -e /tmp/down ]; do sleep 0.05; done'
`

const startAndStop = `
step "systemd_unit" "start" {
  unit  = "slow.service"
  state = "started"
}
step "systemd_unit" "stop" {
  unit  = "slow.service"
  state = "stopped"
}
`

// systemd re-executes itself, as it does in an upgrade, while a job is under
// way: it closes every connection, and the signal that tells of the job's end
// is lost. It does so again and again.
func TestSystemdReexecutes(t *testing.T) {
	unit(t, slow)
	s := newScene(t, startAndStop)
	r := s.start("run", s.book, "--yes")
	await(t, "systemctl is-active slow.service | grep -q ^activating")
	for range 3 {
		sh(t, "systemctl daemon-reexec")
	}
	sh(t, "touch /tmp/up")
	await(t, "systemctl show -p SubState slow.service | grep -q stop")
	for range 3 {
		sh(t, "systemctl daemon-reexec")
	}
	sh(t, "touch /tmp/down")
	r.ends(program.Done)
	tally.Count(t, "jobs during which systemd re-executed itself three times", 2)
}

// The units' files are read anew in the middle of a job.
func TestSystemdReloads(t *testing.T) {
	unit(t, slow)
	s := newScene(t, startAndStop)
	r := s.start("run", s.book, "--yes")
	await(t, "systemctl is-active slow.service | grep -q ^activating")
	sh(t, "systemctl daemon-reload; touch /tmp/up")
	await(t, "systemctl show -p SubState slow.service | grep -q stop")
	sh(t, "systemctl daemon-reload; touch /tmp/down")
	r.ends(program.Done)
	tally.Count(t, "jobs during which systemd read all units anew", 2)
}

// Somebody else stops what a step starts, or starts what it stops: the step
// says so, and the run can be resumed.
func TestUnitIsContended(t *testing.T) {
	unit(t, slow)
	s := newScene(t, startAndStop)
	r := s.start("run", s.book, "--yes")
	await(t, "systemctl is-active slow.service | grep -q ^activating")
	sh(t, "touch /tmp/down; systemctl stop slow.service; rm /tmp/down")
	s.contains(r.ends(program.Stopped), "slow.service", "start", "runbook resume")

	sh(t, "touch /tmp/up")
	r = s.start("resume")
	await(t, "systemctl show -p SubState slow.service | grep -q stop")
	sh(t, "touch /tmp/down")
	r.ends(program.Done)
	tally.Count(t, "jobs that somebody else cancelled", 1)
}

// A unit that goes down as often as it comes up hasn't been started.
func TestUnitFlaps(t *testing.T) {
	for name, service := range map[string]string{
		"says when it is ready, and never does": "Type=notify\nExecStart=/bin/sh -c 'exit 1'\nRestart=always\nRestartSec=50ms\n",
		"fails before it starts":                "ExecStartPre=/bin/false\nExecStart=/bin/sleep infinity\nRestart=always\nRestartSec=50ms\n",
	} {
		t.Run(name, func(t *testing.T) {
			unit(t, "# as some units are\n"+strings.Replace(service, "Restart=", "StartLimitBurst=1000000\nRestart=", 1))
			s := newScene(t, startAndStop)
			e := s.runbook(program.Stopped, "run", s.book, "--yes")
			s.contains(e.Stderr, "unit slow.service: ", "it last said: ", "journalctl -u slow.service")
			s.runbook(program.Done, "rollback", "--yes")
			tally.Count(t, "units that flap", 1)
		})
	}
}
