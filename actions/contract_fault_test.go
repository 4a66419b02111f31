package actions_test

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/nftables"
	"github.com/zclconf/go-cty/cty"

	"runbook/test/contract"
)

func faultCases() []contract.Case {
	return []contract.Case{
		{Name: "logs", Action: "fault_truncate", Setup: truncateLogs, Bad: badTruncate()},
		{Name: "a part that is left", Action: "fault_truncate", Setup: truncateToSize},
		{Name: "a database", Action: "fault_scribble", Setup: scribbleDB, Bad: badScribble()},
		{Name: "a directory", Action: "fault_remove", Setup: loseMember(nil), Bad: badFaultRemove()},
		{Name: "a stray file instead", Action: "fault_remove", Setup: loseMember("file")},
		{Name: "a stray directory instead", Action: "fault_remove", Setup: loseMember("directory")},
		{Name: "a small disk", Action: "fault_fill_disk", Setup: fillSmallDisk, Fills: true, Syscalls: []string{"fallocate"}, Bad: badFill()},
		{Name: "two processes", Action: "fault_kill_process", Setup: killTwo, Syscalls: []string{"pidfd_send_signal"}, Bad: badKill()},
		{Name: "a drill that went well", Action: "drill_score", Setup: scored, Bad: badScore(), Fails: failingScore()},
		{Name: "a port", Action: "fault_network", Setup: cutOffPort, Syscalls: []string{"sendmsg", "sendto"}, Bad: badNetwork()},
	}
}

// faultDir holds an etcd-like tree, and a place to keep what is destroyed.
func faultDir(t *testing.T) (dir string, keep cty.Value) {
	dir = t.TempDir()
	for _, name := range []string{"member/wal/1.wal", "member/wal/0.wal", "member/wal/0.tmp", "member/snap/db"} {
		contract.Write(t, filepath.Join(dir, "data", name), strings.Repeat("content of "+name+" ", 1000))
	}
	return dir, cty.StringVal(filepath.Join(dir, "keep"))
}

// withTimes is the tree below dir/data, and the names of what is kept. Undo
// brings the times of the files back; when they were damaged counts for nothing.
func withTimes(dir string) func(t *testing.T) string {
	return func(t *testing.T) string {
		t.Helper()
		text := regexp.MustCompile(` \d{19}`).ReplaceAllStringFunc(contract.Tree(t, filepath.Join(dir, "data")), func(time string) string {
			if time == fmt.Sprintf(" %d", longAgoTime.UnixNano()) {
				return time
			}
			return " now"
		})
		kept, err := os.ReadDir(filepath.Join(dir, "keep"))
		if err != nil && !os.IsNotExist(err) {
			t.Fatal(err)
		}
		for _, k := range kept {
			text += "kept " + k.Name() + "\n"
		}
		return text
	}
}

var longAgoTime = time.Unix(1700000000, 123456789)

func longAgo(t *testing.T, dir string) {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(dir, "data/member/*/*"))
	must(t, err)
	for _, p := range paths {
		must(t, os.Chtimes(p, time.Time{}, longAgoTime))
	}
}

func truncateLogs(t *testing.T) contract.Scene {
	dir, keep := faultDir(t)
	longAgo(t, dir)
	return contract.Scene{
		Config:  config{"path": cty.StringVal(filepath.Join(dir, "data/member/wal/*.wal")), "keep_in": keep},
		Observe: withTimes(dir),
		Applied: func(t *testing.T) {
			sized(t, filepath.Join(dir, "data/member/wal/0.wal"), 0)
			sized(t, filepath.Join(dir, "data/member/wal/1.wal"), 0)
			sized(t, filepath.Join(dir, "data/member/wal/0.tmp"), 28000)
		},
	}
}

func sized(t *testing.T, path string, want int64) {
	t.Helper()
	info, err := os.Stat(path)
	must(t, err)
	if info.Size() != want {
		t.Errorf("%s has %d bytes, want %d", path, info.Size(), want)
	}
}

func truncateToSize(t *testing.T) contract.Scene {
	dir, keep := faultDir(t)
	longAgo(t, dir)
	db := filepath.Join(dir, "data/member/snap/db")
	return contract.Scene{
		Config:  config{"path": cty.StringVal(db), "size_bytes": cty.NumberIntVal(512), "keep_in": keep},
		Observe: withTimes(dir),
		Applied: func(t *testing.T) { sized(t, db, 512) },
	}
}

func badTruncate() []contract.Bad {
	return []contract.Bad{
		{Name: "nothing matches", Attribute: "path", Message: "no regular file", Set: func(_ *testing.T, c config) {
			c["path"] = cty.StringVal(filepath.Join(filepath.Dir(c["path"].AsString()), "*.log"))
		}},
		{Name: "another name", Attribute: "path", Message: "it is a hard link", Set: func(t *testing.T, c config) {
			must(t, os.Link(filepath.Join(filepath.Dir(c["path"].AsString()), "0.wal"), filepath.Join(t.TempDir(), "link")))
		}},
		{Name: "a size below zero", Attribute: "size_bytes", Message: "whole number", Set: func(_ *testing.T, c config) {
			c["size_bytes"] = cty.NumberIntVal(-1)
		}},
	}
}

func scribbleDB(t *testing.T) contract.Scene {
	dir, keep := faultDir(t)
	longAgo(t, dir)
	db := filepath.Join(dir, "data/member/snap/db")
	return contract.Scene{
		Config:  config{"path": cty.StringVal(db), "offset": cty.NumberIntVal(7), "length": cty.NumberIntVal(5000), "keep_in": keep},
		Observe: withTimes(dir),
		Applied: func(t *testing.T) {
			text, err := os.ReadFile(db)
			must(t, err)
			whole := strings.Repeat("content of member/snap/db ", 1000)
			if len(text) != len(whole) || string(text[:7]) != whole[:7] || string(text[5007:]) != whole[5007:] || string(text[7:27]) == whole[7:27] {
				t.Error("what is damaged is not the part that was named")
			}
		},
	}
}

func badScribble() []contract.Bad {
	return []contract.Bad{
		{Name: "beyond the end", Attribute: "offset", Message: "nothing at", Set: func(_ *testing.T, c config) { c["offset"] = cty.NumberIntVal(1 << 30) }},
		{Name: "a directory", Attribute: "path", Message: "no file", Set: func(_ *testing.T, c config) {
			c["path"] = cty.StringVal(filepath.Dir(c["path"].AsString()))
		}},
		{Name: "another name", Attribute: "path", Message: "it is a hard link", Set: func(t *testing.T, c config) {
			must(t, os.Link(c["path"].AsString(), filepath.Join(t.TempDir(), "link")))
		}},
	}
}

func loseMember(stray any) func(t *testing.T) contract.Scene {
	return func(t *testing.T) contract.Scene {
		dir, _ := faultDir(t)
		member := filepath.Join(dir, "data/member")
		c := config{"path": cty.StringVal(member)}
		if s, ok := stray.(string); ok {
			c["replace_with"] = cty.StringVal(s)
		}
		return contract.Scene{
			Config: c,
			Observe: func(t *testing.T) string {
				// When a stray file was made counts for nothing.
				return regexp.MustCompile(`("/data/member" -\S+ \S+ \S+) \d+`).ReplaceAllString(contract.Tree(t, dir), "$1")
			},
			Applied: func(t *testing.T) {
				info, err := os.Lstat(member)
				switch {
				case stray == nil && !os.IsNotExist(err):
					t.Error("it is still there", err)
				case stray == "file" && (err != nil || !info.Mode().IsRegular() || info.Size() > 0):
					t.Error("there is no stray file", err)
				case stray == "directory" && (err != nil || !info.IsDir()):
					t.Error("there is no stray directory", err)
				}
			},
		}
	}
}

func badFaultRemove() []contract.Bad {
	return []contract.Bad{
		{Name: "nothing there", Attribute: "path", Message: "nothing to damage", Set: func(_ *testing.T, c config) {
			c["path"] = cty.StringVal(c["path"].AsString() + "s")
		}},
		{Name: "a strange stray", Attribute: "replace_with", Message: `"file" or "directory"`, Set: func(_ *testing.T, c config) {
			c["replace_with"] = cty.StringVal("pipe")
		}},
	}
}

func fillSmallDisk(t *testing.T) contract.Scene {
	dir := t.TempDir()
	out, err := exec.Command("mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", dir).CombinedOutput()
	if err != nil {
		t.Fatal(string(out))
	}
	t.Cleanup(func() {
		if out, err := exec.Command("umount", dir).CombinedOutput(); err != nil {
			t.Error(string(out))
		}
	})
	contract.Write(t, filepath.Join(dir, "mine"), "mine")
	return contract.Scene{
		Config: config{"path": cty.StringVal(dir), "leave_bytes": cty.NumberIntVal(100000)},
		Observe: func(t *testing.T) string {
			files, err := exec.Command("ls", "-sA", dir).CombinedOutput()
			must(t, err)
			return string(files)
		},
		Applied: func(t *testing.T) {
			if err := os.WriteFile(filepath.Join(dir, "too-much"), make([]byte, 200000), 0o600); err == nil {
				t.Error("there is still room")
			}
			must(t, os.Remove(filepath.Join(dir, "too-much")))
			must(t, os.WriteFile(filepath.Join(dir, "little"), make([]byte, 50000), 0o600))
			must(t, os.Remove(filepath.Join(dir, "little")))
		},
	}
}

func badFill() []contract.Bad {
	return []contract.Bad{{Name: "a file", Attribute: "path", Message: "no directory", Set: func(_ *testing.T, c config) {
		c["path"] = cty.StringVal(filepath.Join(c["path"].AsString(), "mine"))
	}}}
}

// killTwo has two processes of a name that nothing else has, and one of
// another, which has to live.
func killTwo(t *testing.T) contract.Scene {
	dir := t.TempDir()
	name := fmt.Sprintf("victim%d", time.Now().UnixNano()%1e8)
	var victims []*exec.Cmd
	for _, program := range []string{name, "bystander"} {
		must(t, exec.Command("cp", "/usr/bin/sleep", filepath.Join(dir, program)).Run())
	}
	start := func(name string) *exec.Cmd {
		cmd := exec.Command(filepath.Join(dir, name), "600")
		must(t, cmd.Start())
		t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() }) // it may have ended
		return cmd
	}
	victims = append(victims, start(name), start(name))
	other := start("bystander")
	return contract.Scene{
		Config: config{"name": cty.StringVal(name)},
		Observe: func(t *testing.T) string {
			return "" // what is killed stays killed; Applied looks at it
		},
		Applied: func(t *testing.T) {
			for _, v := range victims {
				if alive(v) {
					t.Errorf("process %d lives", v.Process.Pid)
				}
			}
			if !alive(other) {
				t.Error("another process was killed")
			}
		},
	}
}

func alive(cmd *exec.Cmd) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", cmd.Process.Pid))
	return err == nil && !strings.Contains(string(stat), ") Z ")
}

func badKill() []contract.Bad {
	return []contract.Bad{
		{Name: "two ways", Attribute: "name", Message: "one of unit and name", Set: func(_ *testing.T, c config) { c["unit"] = cty.StringVal("dbus.service") }},
	}
}

func cutOffPort(t *testing.T) contract.Scene {
	withoutTables(t)
	t.Cleanup(func() { withoutTables(t) })
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	t.Cleanup(func() { _ = l.Close() })
	port := l.Addr().(*net.TCPAddr).Port
	open := func() bool {
		conn, err := net.DialTimeout("tcp", l.Addr().String(), 300*time.Millisecond)
		if err == nil {
			_ = conn.Close()
		}
		return err == nil
	}
	return contract.Scene{
		Config: config{"ports": cty.ListVal([]cty.Value{cty.NumberIntVal(int64(port))})},
		Observe: func(t *testing.T) string {
			conn, err := nftables.New()
			must(t, err)
			tables, err := conn.ListTables()
			must(t, err)
			return fmt.Sprint(len(tables), open())
		},
		Applied: func(t *testing.T) {
			if open() {
				t.Error("the port is still open")
			}
		},
	}
}

func scored(*testing.T) contract.Scene {
	texts := func(all ...string) cty.Value {
		var vals []cty.Value
		for _, s := range all {
			vals = append(vals, cty.StringVal(s))
		}
		return cty.ListVal(vals)
	}
	return contract.Scene{
		Config: config{
			"since": cty.StringVal(time.Now().Add(-time.Minute).Format(time.RFC3339)), "within_seconds": cty.NumberIntVal(3600),
			"found": texts("wal_missing", "stray"), "expected": texts("wal_missing", "wal_empty"),
		},
		Observe: func(*testing.T) string { return "" },
	}
}

func badScore() []contract.Bad {
	return []contract.Bad{{Name: "no time", Attribute: "since", Message: "RFC 3339", Set: func(_ *testing.T, c config) { c["since"] = cty.StringVal("yesterday") }}}
}

func failingScore() []contract.Bad {
	return []contract.Bad{
		{Name: "something else was found", Attribute: "found", Message: "none of wal_missing", Set: func(_ *testing.T, c config) {
			c["found"] = cty.ListVal([]cty.Value{cty.StringVal("stray")})
		}},
		{Name: "too late", Attribute: "within_seconds", Message: "it took", Set: func(_ *testing.T, c config) { c["within_seconds"] = cty.NumberIntVal(30) }},
	}
}

// withoutTables leaves the host without nftables rules; it is a throw-away one.
func withoutTables(t *testing.T) {
	t.Helper()
	conn, err := nftables.New()
	must(t, err)
	conn.FlushRuleset()
	must(t, conn.Flush())
}

func badNetwork() []contract.Bad {
	return []contract.Bad{
		{Name: "no port", Attribute: "ports", Message: "at least one", Set: func(_ *testing.T, c config) { c["ports"] = cty.ListValEmpty(cty.Number) }},
		{Name: "no such port", Attribute: "ports", Message: "65535", Set: func(_ *testing.T, c config) { c["ports"] = cty.ListVal([]cty.Value{cty.NumberIntVal(70000)}) }},
	}
}
