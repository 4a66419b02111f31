package actions_test

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/zclconf/go-cty/cty"

	"runbook/test/contract"
)

func unitFileCases() []contract.Case {
	return []contract.Case{
		{Name: "enable and start", Action: "systemd_unit", Syscalls: dbusCalls,
			Setup: installedScene(config{"enabled": cty.True, "state": cty.StringVal("started")}, down)},
		{Name: "disable, stop and mask", Action: "systemd_unit", Syscalls: dbusCalls,
			Setup: installedScene(config{"enabled": cty.False, "state": cty.StringVal("stopped"), "masked": cty.True}, up,
				"enable "+installed, "add-wants rescue.target "+installed, "--runtime enable "+installed),
			Bad: []contract.Bad{{Name: "linked", Attribute: "unit", Message: "linked to here", Set: linkUnit}}},
		{Name: "unmask, enable and start", Action: "systemd_unit", Syscalls: dbusCalls,
			Setup: installedScene(config{"masked": cty.False, "state": cty.StringVal("started"), "enabled": cty.True}, down,
				"mask "+installed, "mask --runtime "+installed)},
		{Name: "start a unit whose start limit is spent", Action: "systemd_unit", Syscalls: dbusCalls, Setup: limitedScene},
		{Name: "reload", Action: "systemd_unit", Syscalls: dbusCalls,
			Setup: installedScene(config{"state": cty.StringVal("reloaded")}, up)},
		{Name: "read the unit files again", Action: "systemd_unit", Syscalls: dbusCalls,
			Setup: installedScene(config{"daemon_reload": cty.True}, down)},
	}
}

const (
	installed = "contract-installed.service"
	companion = "contract-companion.service"
	reloads   = "/run/contract-reloads"
	installIn = "/usr/local/lib/systemd/system"
)

// The unit is enabled under another name too, and together with a companion.
var installedFiles = map[string]string{
	installed: `[Unit]
StartLimitIntervalSec=0
[Service]
Type=exec
ExecStart=/bin/sleep infinity
ExecReload=/bin/sh -c 'echo reload >>` + reloads + `'
[Install]
WantedBy=multi-user.target
Alias=contract-alias.service
Also=` + companion + `
`,
	companion: `[Service]
ExecStart=/bin/sleep infinity
[Install]
RequiredBy=multi-user.target
`,
}

func installedScene(c config, is unitState, prepare ...string) func(*testing.T) contract.Scene {
	return func(t *testing.T) contract.Scene {
		cleanUnit(t)
		for _, line := range prepare {
			systemctl(t, append(strings.Fields(line), "--no-reload")...)
		}
		systemctl(t, "daemon-reload")
		if is == up {
			systemctl(t, "start", installed)
		}
		must(t, os.WriteFile(reloads, nil, 0o600))
		all := config{"unit": cty.StringVal(installed)}
		for name, v := range c {
			all[name] = v
		}
		return contract.Scene{
			Config:  all,
			Observe: observeInstalled,
			Count: func(t *testing.T) string {
				text, err := os.ReadFile(reloads)
				must(t, err)
				return fmt.Sprintf("%d reloads", strings.Count(string(text), "reload"))
			},
		}
	}
}

// limited is a unit that systemd starts once an hour.
const (
	limited     = "contract-limited.service"
	limitedFile = `[Unit]
StartLimitIntervalSec=1h
StartLimitBurst=1
[Service]
Type=exec
ExecStart=/bin/sleep infinity
[Install]
WantedBy=multi-user.target
`
)

// limitedScene is the unit after its one start.
func limitedScene(t *testing.T) contract.Scene {
	path := filepath.Join(installIn, limited)
	if _, wanted := unitLinks(t)["/etc/systemd/system/multi-user.target.wants/"+limited]; !wanted {
		contract.Write(t, path, limitedFile)
		systemctl(t, "enable", limited) // systemd forgets what nobody wants, its starts too
	}
	systemctl(t, "stop", limited)
	systemctl(t, "reset-failed", limited)
	systemctl(t, "start", limited)
	systemctl(t, "stop", limited)
	return contract.Scene{
		Config: config{"unit": cty.StringVal(limited), "state": cty.StringVal("started")},
		Observe: func(t *testing.T) string {
			out, err := exec.Command("systemctl", "show", "-p", "ActiveState,LoadState", limited).Output()
			must(t, err)
			return string(out)
		},
	}
}

// cleanUnit brings the unit back to where it is stopped, and no link leads to
// it.
func cleanUnit(t *testing.T) {
	t.Helper()
	for path := range unitLinks(t) {
		must(t, os.Remove(path))
	}
	for name, text := range installedFiles {
		contract.Write(t, filepath.Join(installIn, name), text)
	}
	if exec.Command("systemctl", "is-active", "--quiet", installed).Run() == nil {
		systemctl(t, "stop", installed)
	}
}

// unitLinks are all links that lead to the two units, or are called like them.
func unitLinks(t *testing.T) map[string]string {
	t.Helper()
	found := map[string]string{}
	for _, dir := range []string{"/etc/systemd/system", "/run/systemd/system"} {
		must(t, filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
			content, notLink := os.Readlink(path)
			if notLink == nil && strings.Contains(path+" "+content, "contract-") {
				found[path] = content
			}
			return errors.Join(err)
		}))
	}
	return found
}

func observeInstalled(t *testing.T) string {
	t.Helper()
	out, err := exec.Command("systemctl", "show", "-p", "ActiveState,LoadState,UnitFileState,NeedDaemonReload", installed).Output()
	must(t, err)
	state := strings.ReplaceAll(string(out), "failed", "inactive")
	return fmt.Sprintf("%v\n%s", unitLinks(t), state) // a map is printed in order
}

func linkUnit(t *testing.T, _ config) {
	contract.Write(t, "/opt/contract/"+installed, installedFiles[installed])
	must(t, os.Rename(filepath.Join(installIn, installed), filepath.Join(installIn, "contract-away")))
	t.Cleanup(func() {
		must(t, os.Rename(filepath.Join(installIn, "contract-away"), filepath.Join(installIn, installed)))
	})
	for path, content := range unitLinks(t) {
		if filepath.Base(content) == installed {
			must(t, os.Remove(path))
		}
	}
	systemctl(t, "enable", "/opt/contract/"+installed)
}
