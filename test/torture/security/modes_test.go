package security

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"sort"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"runbook/test/program"
	"runbook/test/torture/tally"
)

// making is a run that makes files and directories in every way.
const making = `
step "write_file" "file" {
  path    = "DIR/made/file"
  content = "file"
}
step "write_file" "private" {
  path    = "DIR/made/private"
  mode    = "0600"
  content = "private"
}
step "write_file" "replaced" {
  path    = "DIR/made/replaced"
  content = "new"
}
step "make_directory" "directory" {
  path    = "DIR/made/a/b"
  parents = true
}
step "copy" "copy" {
  from = "DIR/made/tree"
  to   = "DIR/made/copy"
}
step "archive" "pack" {
  path    = "DIR/made/pack.tgz"
  sources = ["DIR/made/tree"]
  copies  = ["DIR/made/a"]
}
step "command" "program" {
  argv = ["sh", "-c", "echo by a program >DIR/made/program; mkdir DIR/made/programs"]
}
step "etcd_snapshot_save" "save" {
  endpoints = ["ENDPOINT"]
  path      = "DIR/made/saved.db"
  copies    = ["DIR/made/a"]
}
step "etcd_snapshot_restore" "restore" {
  snapshot                    = "/var/backups/snapshot.db"
  data_dir                    = "DIR/made/etcd"
  name                        = "m1"
  initial_advertise_peer_urls = ["http://127.0.0.1:2380"]
}
step "command" "stops" { argv = ["sh", "-c", "test -e DIR/go"] }
step "remove" "remove" { path = "DIR/made/tree" }
`

// wanted are the modes of what the run makes, whoever's umask it is. What was
// there before keeps its own.
var wanted = map[string]string{
	"file": "-rw-r--r--", "private": "-rw-------", "replaced": "-rw-r-----", ".replaced.replaced-RUN": "-rw-r-----",
	"a": "drwxr-xr-x", "a/b": "drwxr-xr-x", "copy": "drwxr-x---", "copy/f": "-rw-r-----", ".tree.removed-RUN": "drwxr-x---", ".tree.removed-RUN/f": "-rw-r-----",
	"pack.tgz": "-rw-------", "a/pack.tgz": "-rw-------", "program": "-rw-r--r--", "programs": "drwxr-xr-x",
	"saved.db": "-rw-------", "a/saved.db": "-rw-------", "etcd": "drwx------",
	"plan": "-rw-------", "report": "-rw-------", "report.html": "-rw-------", "log": "-rw-------",
}

// What a run writes has the modes that it is meant to have, from a shell with
// any umask.
func TestModesOfAllThatIsWritten(t *testing.T) {
	m, err := member()
	must(t, err)
	walked := 0
	for _, umask := range []string{"000", "022", "077"} {
		t.Run("umask "+umask, func(t *testing.T) {
			s := newScene(t)
			s.write(strings.ReplaceAll(making, "ENDPOINT", m.Endpoint))
			sh(t, "umask 022; mkdir -p "+s.path("made/tree")+"; cd "+s.path("made")+
				"; echo old >replaced; echo f >tree/f; chmod 640 replaced tree/f; chmod 750 tree")
			run := func(code int, args ...string) {
				t.Helper()
				cmd := s.command("sh", append([]string{"-c", "umask " + umask + `; exec "$0" "$@"`, s.binary}, args...)...)
				if e, err := program.Run(cmd); err != nil || e.Code != code {
					t.Fatalf("%v: want exit code %d: %v %s", args, code, err, e)
				}
			}
			run(program.Done, "plan", s.book, "--out", s.path("made/plan"))
			run(program.Stopped, "run", s.path("made/plan"), "--yes", "--log-file", s.path("made/log"))
			id := s.newest()
			s.tear(id)
			must(t, os.WriteFile(s.path("go"), nil, 0o600))
			run(program.Done, "resume", "--log-file", s.path("made/log"))
			run(program.Done, "report", "--out", s.path("made/report"))
			run(program.Done, "report", "--html", "--out", s.path("made/report.html"))
			got := modes(t, s.path("made"), id)
			for path, mode := range wanted {
				if got[path] != mode {
					t.Errorf("%s has the mode %q, want %q", path, got[path], mode)
				}
			}
			for path, mode := range got {
				// A raft snapshot is as etcd itself makes it, in directories that are private.
				if strings.HasPrefix(path, "etcd/") && !strings.HasSuffix(mode, "------") && filepath.Ext(path) != ".snap" {
					t.Errorf("%s has the mode %s", path, mode)
				}
			}
			run(program.Done, "rollback", id, "--yes")
			s.ruin(id)
			run(program.Done, "abandon", id, "--reason", "it is ruined")
			walked += len(got) + s.private(s.state()) + s.private(s.path("lock"))
		})
	}
	tally.Count(t, "files and directories that runs made under different umasks, each with its mode", walked)
}

// tear leaves half a record at the end of a run's journal, as a crash does.
func (s *scene) tear(id string) {
	s.Helper()
	sh(s.T, `printf '{"seq":99,"ti' >>`+filepath.Join(s.state(), "runs", id, "journal.jsonl"))
}

// ruin makes a run's journal unreadable.
func (s *scene) ruin(id string) {
	s.Helper()
	sh(s.T, "sed -i '2s/[0-9]/x/' "+filepath.Join(s.state(), "runs", id, "journal.jsonl")+"; chmod 600 "+filepath.Join(s.state(), "runs", id, "journal.jsonl"))
}

// private fails where anybody but the owner may do anything, and returns how
// many files and directories it has looked at.
func (s *scene) private(root string) int {
	s.Helper()
	var all []string
	must(s.T, filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		var st unix.Stat_t
		must(s.T, unix.Lstat(path, &st))
		all = append(all, filepath.Base(path))
		if st.Mode&0o077 != 0 || st.Uid != 0 {
			s.Errorf("%s has the mode %04o and belongs to %d", path, st.Mode&0o7777, st.Uid)
		}
		return nil
	}))
	if root != s.state() {
		return len(all)
	}
	sort.Strings(all)
	for _, kind := range []string{`journal\.jsonl`, `journal\.jsonl\.torn-\d+`, `abandoned\.json`, `lock`, `do-1\.json`} {
		if !regexp.MustCompile(`(^|\n)` + kind + `(\n|$)`).MatchString(strings.Join(all, "\n")) {
			s.Errorf("there is no %s among %v", kind, all)
		}
	}
	return len(all)
}

// modes are the modes of all below root, by path, with RUN for the run's ID.
func modes(t *testing.T, root, id string) map[string]string {
	t.Helper()
	all := map[string]string{}
	must(t, filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		all[strings.ReplaceAll(strings.TrimPrefix(path, root+"/"), id, "RUN")] = fmt.Sprint(info.Mode())
		return nil
	}))
	return all
}
