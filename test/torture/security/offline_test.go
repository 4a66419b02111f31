package security

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"runbook/test/program"
	"runbook/test/torture/tally"
)

// local are steps that need no network.
const local = `
step "write_file" "write" {
  path    = "DIR/w"
  content = "w"
  owner   = "nobody:nogroup"
}
step "command" "run" { argv = ["true"] }
step "copy" "copy" {
  from = "DIR/w"
  to   = "DIR/c"
}
step "archive" "pack" {
  path    = "DIR/a.tgz"
  sources = ["DIR/c"]
}
step "systemd_unit" "unit" {
  unit  = "systemd-journald.service"
  state = "started"
}
`

// sockets are the calls with which a process reaches another, and with -y where.
const sockets = "socket,connect,sendto,sendmsg,?sendmmsg,bind"

// In a network of its own, with nothing in it, all works that names nothing in
// a network. No process so much as asks for a socket that could leave the
// machine.
func TestNothingLeavesTheMachine(t *testing.T) {
	s := newScene(t)
	s.write(local)
	tried := 0
	quiet := func(args ...string) {
		t.Helper()
		log := filepath.Join(t.TempDir(), "trace")
		cmd := s.command("unshare", append([]string{"--net", "strace", "-f", "-qq", "-o", log, "-e", "trace=" + sockets, s.binary}, args...)...)
		e, err := program.Run(cmd)
		must(t, err)
		if e.Code != program.Done {
			t.Errorf("%v without a network: %s", args, e)
		}
		text, err := os.ReadFile(log)
		must(t, err)
		if at := regexp.MustCompile(`.*(AF_INET|AF_PACKET|AF_VSOCK).*`).FindString(string(text)); at != "" {
			t.Errorf("%v: %s", args, at)
		}
		tried++
	}
	quiet("validate", s.book)
	quiet("plan", s.book)
	quiet("run", s.book, "--yes")
	quiet("list")
	quiet("show")
	quiet("report", "--html")
	quiet("rollback", "--yes")
	quiet("explain", "copy")
	quiet("fmt", "--check", s.book)
	quiet("completion", "bash")
	quiet("man")
	quiet("--version")
	shipped, err := filepath.Glob("../../../runbooks/*.hcl")
	must(t, err)
	if len(shipped) < 5 {
		t.Fatalf("only %d shipped runbooks", len(shipped))
	}
	for _, book := range shipped {
		quiet("validate", book)
	}
	tally.Count(t, "commands that worked without a network and asked for none", tried)
}

// A run connects to what its runbook names, and to nothing else; it asks nobody
// for a name's address, or for anything to download.
func TestOnlyWhatIsNamedIsReached(t *testing.T) {
	s := newScene(t)
	server := echo(t)
	s.write(local + fmt.Sprintf(`
step "http" "ask" { url = "%s/ok" }
step "etcd_health" "etcd" {
  endpoints       = ["http://127.0.0.1:7"]
  timeout_seconds = 1
  on_failure      = "continue"
}`, server))
	log := filepath.Join(t.TempDir(), "trace")
	e, err := program.Run(s.command("strace", "-f", "-qq", "-o", log, "-e", "trace="+sockets, s.binary, "run", s.book, "--yes"))
	must(t, err)
	if e.Code != program.Done {
		t.Fatal(e)
	}
	text, err := os.ReadFile(log)
	must(t, err)
	named := map[string]bool{strings.TrimPrefix(server, "http://"): false, "127.0.0.1:7": false}
	for _, m := range regexp.MustCompile(`(?m)connect\(\d+, \{sa_family=AF_INET6?, sin6?_port=htons\((\d+)\), (?:sin_addr=inet_addr\("([^"]+)"\))?.*$`).FindAllStringSubmatch(string(text), -1) {
		to := m[2] + ":" + m[1]
		if _, ok := named[to]; !ok {
			t.Errorf("it connected to %q: %s", to, m[0])
		}
		named[to] = true
	}
	for to, reached := range named {
		if !reached {
			t.Errorf("it didn't connect to %s, which the runbook names", to)
		}
	}
	tally.Count(t, "addresses that a run reached, each of them named", len(named))
}
