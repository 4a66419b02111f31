package causes

import (
	"context"
	"fmt"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"syscall"
)

// linesRead is how many lines of a log count.
const linesRead = 300

// journalOf are the last lines of a unit's journal: those that match a pattern, of
// the last quarter of an hour, where one is given. Without a journal there are none.
func journalOf(ctx context.Context, unit, pattern string) []string {
	args := []string{"-u", unit, "-o", "cat", "-n", fmt.Sprint(linesRead), "--no-pager", "-q"}
	if pattern != "" {
		args = append(args, "--since=-15min", "--grep="+pattern)
	}
	cmd := exec.CommandContext(ctx, "journalctl", args...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	out, err := cmd.Output()
	if err != nil {
		return nil
	}
	return strings.Split(strings.TrimSpace(string(out)), "\n")
}

// fatal are how programs say why they end, the surest way first: after a flag
// that they don't know etcd and kubelet print their whole usage, and systemd
// has the last word.
var fatal = []*regexp.Regexp{
	regexp.MustCompile(`flag provided but not defined: .*`),
	regexp.MustCompile(`invalid value ".*" for flag .*`),
	regexp.MustCompile(`(?i)unknown (shorthand )?flag.*`),
	regexp.MustCompile(`error verifying flags.*|failed to verify flags.*`),
	regexp.MustCompile(`"command failed" err=.*|command failed.* err.*`),
	regexp.MustCompile(`"level":"(fatal|panic)".*`),
	regexp.MustCompile(`^panic: .*|^fatal error: .*`),
	regexp.MustCompile(`level=fatal.*|level=error msg="?failed to (start|load|create).*`),
	regexp.MustCompile(`^[FE]\d{4} \d\d:\d\d:\d\d.*(failed to|Failed to|unable to|Unable to).*`),
	regexp.MustCompile(`^(E|e)rror: .*`),
	regexp.MustCompile(`Failed (at step \w+ spawning|to locate executable|to load environment files).*`),
	regexp.MustCompile(`^F\d{4} .*`),
}

// fatalLine is the line that says why a program ended: of the surest kind that
// there is the last. Where no line does, it is empty.
func fatalLine(lines []string) string {
	for _, kind := range fatal {
		for _, line := range slices.Backward(lines) {
			if kind.MatchString(line) {
				return line
			}
		}
	}
	return ""
}
