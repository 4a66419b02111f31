package input

import (
	"encoding/binary"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"unicode/utf16"

	"golang.org/x/sys/unix"
)

const header = "runbook \"t\" {}\n"

// generated are the cases that can't stand in a file of text, by family.
func generated() map[string][]hostile {
	return map[string][]hostile{"places": places(), "encodings": encodings(), "terminal": terminal(), "sizes": sizes(), "marks": marks()}
}

// named makes a runbook with a mistake under any name.
func named(name string) func(*testing.T, string) {
	return func(t *testing.T, dir string) {
		put(t, filepath.Join(dir, name), header+"step \"fail\" \"a\" {}\n")
	}
}

// places are things that aren't files, or have names that aren't words.
func places() []hostile {
	odd := func(name, kind string, f func(path string) error) hostile {
		return hostile{name: name, args: []string{"plan", "x.hcl"}, make: func(t *testing.T, dir string) {
			if err := f(filepath.Join(dir, "x.hcl")); err != nil {
				t.Fatalf("%s: %v", kind, err)
			}
		}}
	}
	all := []hostile{
		odd("directory", "mkdir", func(p string) error { return os.Mkdir(p, 0o755) }),
		odd("pipe", "mkfifo", func(p string) error { return unix.Mkfifo(p, 0o644) }),
		odd("socket", "listen", func(p string) error {
			l, err := net.ListenUnix("unix", &net.UnixAddr{Name: p})
			if err == nil {
				l.SetUnlinkOnClose(false)
				err = l.Close()
			}
			return err
		}),
		odd("endless", "symlink", func(p string) error { return os.Symlink("/dev/zero", p) }),
		odd("memory", "symlink", func(p string) error { return os.Symlink("/proc/self/mem", p) }),
		odd("link_to_itself", "symlink", func(p string) error { return os.Symlink("x.hcl", p) }),
		odd("link_to_nothing", "symlink", func(p string) error { return os.Symlink("nowhere.hcl", p) }),
		odd("link_to_a_directory", "symlink", func(p string) error { return os.Symlink("/", p) }),
		odd("empty", "write", func(p string) error { return os.WriteFile(p, nil, 0o644) }),
		odd("holes", "truncate", func(p string) error {
			if err := os.WriteFile(p, nil, 0o644); err != nil {
				return err
			}
			return os.Truncate(p, 8<<30)
		}),
		{name: "missing", args: []string{"plan", "x.hcl"}, make: nothing},
		{name: "no_name", args: []string{"plan", ""}, make: nothing},
		{name: "file_as_directory", args: []string{"plan", "x.hcl/"}, make: named("x.hcl")},
		{name: "below_a_file", args: []string{"plan", "x.hcl/y.hcl"}, make: named("x.hcl")},
		{name: "standard_input", args: []string{"plan", "/dev/stdin"}, make: nothing},
		{name: "name_too_long", args: []string{"plan", strings.Repeat("x", 300) + ".hcl"}, make: nothing},
		{name: "an_option", args: []string{"plan", "-x.hcl"}, make: named("-x.hcl")},
		{name: "after_the_options", args: []string{"plan", "--", "-x.hcl"}, make: named("-x.hcl")},
		{name: "end_of_line", args: []string{"plan", "a\nError: nothing is wrong\nb.hcl"}, make: named("a\nError: nothing is wrong\nb.hcl")},
		{name: "end_of_line_missing", args: []string{"plan", "a\nError: nothing is wrong\nb.hcl"}, make: nothing},
		{name: "escape", args: []string{"plan", "a\x1b]0;title\x07\x1b[2Jb.hcl"}, make: named("a\x1b]0;title\x07\x1b[2Jb.hcl")},
		{name: "escape_missing", args: []string{"plan", "a\x1b]0;title\x07\x1b[2Jb.hcl"}, make: nothing},
		{name: "turned_round", args: []string{"plan", "a\u202elch.b"}, make: named("a\u202elch.b")},
		{name: "no_text", args: []string{"plan", "a\xff\xfe.hcl"}, make: named("a\xff\xfe.hcl")},
		{name: "blanks", args: []string{"plan", "  .hcl"}, make: named("  .hcl")},
		{name: "per_cent", args: []string{"plan", "%s%n%d.hcl"}, make: named("%s%n%d.hcl")},
		{name: "var_file_directory", args: []string{"plan", "x.hcl", "--var-file", "."}, make: named("x.hcl")},
		{name: "var_file_endless", args: []string{"plan", "x.hcl", "--var-file", "/dev/zero"}, make: text("x.hcl", header)},
		{name: "out_in_a_file", args: []string{"plan", "x.hcl", "--out", "x.hcl/plan"}, make: text("x.hcl", header)},
		{name: "out_directory", args: []string{"plan", "x.hcl", "--out", "."}, make: text("x.hcl", header)},
		{name: "fmt_endless", args: []string{"fmt", "--check", "/dev/zero"}, make: nothing},
		{name: "state_is_a_file", args: []string{"list", "--state-dir", "x.hcl"}, make: text("x.hcl", header)},
		{name: "state_has_files", args: []string{"show"}, make: func(t *testing.T, dir string) {
			put(t, filepath.Join(dir, "state", "runs"), "no directory")
		}},
	}
	pipe := odd("run_a_pipe", "mkfifo", func(p string) error { return unix.Mkfifo(p, 0o644) })
	pipe.args = []string{"run", "x.hcl", "--yes"}
	holes := odd("run_holes", "truncate", func(p string) error {
		if err := os.WriteFile(p, []byte(`{"runbook_plan":`), 0o644); err != nil {
			return err
		}
		return os.Truncate(p, 8<<30)
	})
	holes.args = []string{"run", "x.hcl", "--yes"}
	closed := hostile{name: "unreadable", args: []string{"plan", "x.hcl"}, who: &syscall.Credential{Uid: 65534, Gid: 65534},
		make: func(t *testing.T, dir string) {
			put(t, filepath.Join(dir, "x.hcl"), header)
			for path, mode := range map[string]os.FileMode{filepath.Join(dir, "x.hcl"): 0o600, dir: 0o755, filepath.Dir(dir): 0o755} {
				if err := os.Chmod(path, mode); err != nil {
					t.Fatal(err)
				}
			}
		}}
	return append(all, pipe, holes, closed)
}

func nothing(*testing.T, string) {}

func text(name, text string) func(*testing.T, string) {
	return func(t *testing.T, dir string) { put(t, filepath.Join(dir, name), text) }
}

// encodings are bytes that are no text, or another one than it seems.
func encodings() []hostile {
	wrong := "step \"fail\" \"a\" { massage = \"no\" }\n"
	var wide []byte
	for _, u := range utf16.Encode([]rune("\ufeff" + header + wrong)) {
		wide = binary.LittleEndian.AppendUint16(wide, u)
	}
	var all []hostile
	for _, c := range []struct{ name, text string }{
		{"bom", "\ufeff" + header + wrong},
		{"utf16", string(wide)},
		{"windows_lines", strings.ReplaceAll(header+"\n"+wrong+"step \"fail\" \"b\" {\n  massage = <<EOT\nno\nEOT\n}\n", "\n", "\r\n")},
		{"mac_lines", strings.ReplaceAll(header+wrong, "\n", "\r")},
		{"nul", header + "step \"command\" \"a\" { argv = [\"echo\", \"a\x00b\"] }\n"},
		{"nul_between", header + "\x00\x00\x00" + wrong},
		{"only_nul", strings.Repeat("\x00", 10000)},
		{"latin1_in_a_text", header + "step \"fail\" \"a\" { message = \"caf\xe9\" }\n"},
		{"latin1_in_a_comment", header + "# caf\xe9\n" + "step \"fail\" \"a\" { message = \"no\" }\n"},
		{"half_a_letter", header + "step \"fail\" \"a\" { message = \"\xe2\x82\" }\n"},
		{"program", "\x7fELF\x02\x01\x01\x00" + strings.Repeat("\x90\xc3", 500)},
		{"gzip", "\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03" + strings.Repeat("\xab", 100)},
		{"narrow_space", header + "step\u00a0\"fail\" \"a\" { message = \"no\" }\n"},
		{"marks_upon_marks", header + "step \"fail\" \"a\" { massage = \"o" + strings.Repeat("\u0301", 2000) + "\" }\n"},
		{"noncharacters", header + "step \"fail\" \"a\" { massage = \"\uffff\U0010ffff\ufdd0\" }\n"},
	} {
		all = append(all, hostile{name: c.name, args: []string{"plan", "x.hcl"}, make: text("x.hcl", c.text)})
	}
	set := text("x.hcl", header+"variable \"v\" {}\nvariable \"n\" { default = 1 }\n")
	return append(all,
		hostile{name: "setting", args: []string{"plan", "x.hcl", "--var", "v=\xff\xfe"}, make: set},
		hostile{name: "setting_name", args: []string{"plan", "x.hcl", "--var", "\xff\xfe=1"}, make: set},
		hostile{name: "environment", args: []string{"plan", "x.hcl"}, env: []string{"RUNBOOK_VAR_v=\xff\xfe"}, make: set},
		hostile{name: "environment_number", args: []string{"plan", "x.hcl", "--var", "v=1"}, env: []string{"RUNBOOK_VAR_n=\x1b[2J("}, make: text("x.hcl", header+"variable \"v\" {}\nvariable \"n\" { type = number }\n")},
		hostile{name: "var_file", args: []string{"plan", "x.hcl", "--var-file", "vars"}, make: func(t *testing.T, dir string) {
			set(t, dir)
			put(t, filepath.Join(dir, "vars"), "v = \"\xff\"\n")
		}},
		hostile{name: "file_function", args: []string{"plan", "x.hcl"}, make: func(t *testing.T, dir string) {
			put(t, filepath.Join(dir, "x.hcl"), header+"step \"fail\" \"a\" { message = file(\"bytes\") }\n")
			put(t, filepath.Join(dir, "bytes"), "line\n\xff\xfe\n")
		}},
	)
}
