// Package machine holds the data source on the machine as a whole.
package machine

import (
	"bufio"
	"bytes"
	"context"
	"net"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/zclconf/go-cty/cty"
	"golang.org/x/sys/unix"

	"runbook/engine"
)

// Data lists the data sources on the machine.
func Data() []engine.DataSpec { return []engine.DataSpec{hostSpec} }

var hostSpec = engine.DataSpec{
	Name: "host",
	Doc:  "What the machine is: its name, kernel, operating system, processors, memory and addresses.",
	Results: []engine.Attribute{
		{Name: "hostname", Type: cty.String, Doc: "The name that it gives itself."},
		{Name: "kernel", Type: cty.String, Doc: "The running kernel's release."},
		{Name: "os", Type: cty.String, Doc: "The distribution's identifier in os-release, such as debian; empty where there is no such file."},
		{Name: "os_version", Type: cty.String, Doc: "The distribution's version in os-release; empty where it names none."},
		{Name: "os_name", Type: cty.String, Doc: "The distribution's name and version, for people."},
		{Name: "architecture", Type: cty.String, Doc: "The architecture that runbook was built for, in Go's words: amd64, arm64."},
		{Name: "cpus", Type: cty.Number, Doc: "How many processors may be used."},
		{Name: "memory", Type: cty.Number, Doc: "The memory, in bytes."},
		{Name: "boot_id", Type: cty.String, Doc: "The kernel's identifier of this start of the machine."},
		{Name: "uptime_seconds", Type: cty.Number, Doc: "For how long it has been up, in whole seconds."},
		{Name: "addresses", Type: cty.List(cty.String), Doc: "Its IP addresses that can be reached from elsewhere, sorted; neither loopback nor link-local ones."},
		{Name: "name_resolves", Type: cty.Bool, Doc: "Whether its own name leads to an address, and within a second. Where it doesn't, what looks the name up again and again is slow: kubelet, for one."},
		{Name: "init", Type: cty.String, Doc: `"systemd" where it was booted with that; otherwise the name of process 1.`},
	},
	Example: `data "host" "this" {}`,
	New:     func() engine.DataSource { return new(host) },
}

type host struct{}

var _ engine.DataSource = (*host)(nil)

// Read implements engine.DataSource.
func (*host) Read(ctx context.Context, _ engine.World) (engine.Result, error) {
	name, err := os.Hostname()
	if err != nil {
		return nil, engine.Errorf("host", "reading its name: %w", err)
	}
	var uts unix.Utsname
	var info unix.Sysinfo_t
	if err := unix.Uname(&uts); err != nil {
		return nil, engine.Errorf("host", "uname: %w", err)
	}
	if err := unix.Sysinfo(&info); err != nil {
		return nil, engine.Errorf("host", "sysinfo: %w", err)
	}
	addresses, err := addresses()
	if err != nil {
		return nil, engine.Errorf("host", "reading its addresses: %w", err)
	}
	release := osRelease()
	return engine.Result{
		"hostname": name, "kernel": unix.ByteSliceToString(uts.Release[:]),
		"os": release["ID"], "os_version": release["VERSION_ID"], "os_name": release["PRETTY_NAME"],
		"architecture": runtime.GOARCH, "cpus": runtime.NumCPU(), "memory": uint64(info.Totalram) * uint64(info.Unit),
		"boot_id": line("/proc/sys/kernel/random/boot_id"), "uptime_seconds": int64(info.Uptime),
		"addresses": addresses, "init": initSystem(), "name_resolves": resolves(ctx, name),
	}, nil
}

// resolvesWithin bounds a look-up of the machine's own name.
const resolvesWithin = time.Second

func resolves(ctx context.Context, name string) bool {
	ctx, cancel := context.WithTimeout(ctx, resolvesWithin)
	defer cancel()
	found, err := net.DefaultResolver.LookupHost(ctx, name)
	return err == nil && len(found) > 0
}

// line is a small file's content, empty where it can't be read.
func line(path string) string {
	text, err := os.ReadFile(path)
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(text))
}

func initSystem() string {
	if _, err := os.Stat("/run/systemd/system"); err == nil {
		return "systemd"
	}
	return line("/proc/1/comm")
}

// addresses are those under which others may know the machine.
func addresses() ([]string, error) {
	all, err := net.InterfaceAddrs()
	if err != nil {
		return nil, err
	}
	found := []string{}
	for _, a := range all {
		if ip, ok := a.(*net.IPNet); ok && ip.IP.IsGlobalUnicast() {
			found = append(found, ip.IP.String())
		}
	}
	slices.Sort(found)
	return found, nil
}

// osRelease reads os-release, whose lines a shell could read: NAME=value, with
// quotes where needed.
func osRelease() map[string]string {
	for _, path := range []string{"/etc/os-release", "/usr/lib/os-release"} {
		if text, err := os.ReadFile(path); err == nil {
			return parseRelease(text)
		}
	}
	return map[string]string{"ID": "", "VERSION_ID": "", "PRETTY_NAME": ""}
}

func parseRelease(text []byte) map[string]string {
	values := map[string]string{}
	for lines := bufio.NewScanner(bytes.NewReader(text)); lines.Scan(); {
		name, value, ok := strings.Cut(strings.TrimSpace(lines.Text()), "=")
		if !ok || strings.HasPrefix(name, "#") {
			continue
		}
		if plain, err := strconv.Unquote(value); err == nil && strings.HasPrefix(value, `"`) {
			value = plain
		}
		values[name] = strings.Trim(value, "'")
	}
	return values
}
