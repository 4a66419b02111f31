package actions_test

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/zclconf/go-cty/cty"

	"runbook/test/contract"
)

// startCalls are those by which a watcher is started and told what to do.
var startCalls = []string{"write", "flock", "clone", "clone3"}

func commandCases() []contract.Case {
	return []contract.Case{
		{Name: "with undo", Action: "command", Syscalls: startCalls, Setup: commandScene(nil), Bad: badCommand(), Fails: failingCommand()},
		{Name: "that creates a file", Action: "command", Syscalls: startCalls, Setup: commandScene(func(dir string) config {
			return config{"creates": cty.StringVal(filepath.Join(dir, "made"))}
		})},
		{Name: "that is asked for", Action: "command", Syscalls: startCalls, Setup: commandScene(func(dir string) config {
			made := words("test", "-e", filepath.Join(dir, "made"))
			return config{"unless": made, "probe": made}
		})},
		{Name: "without undo", Action: "command", Syscalls: startCalls, Setup: commandScene(func(string) config {
			return config{"argv": words("sh", "-c", "echo x >>count; echo said"), "undo": cty.NilVal}
		})},
	}
}

func words(w ...string) cty.Value {
	var list []cty.Value
	for _, word := range w {
		list = append(list, cty.StringVal(word))
	}
	return cty.ListVal(list)
}

// commandScene is a command that makes a file and counts how often it did.
func commandScene(more func(dir string) config) func(*testing.T) contract.Scene {
	return func(t *testing.T) contract.Scene {
		dir := t.TempDir()
		// All scenes belong to one step of one run.
		must(t, os.RemoveAll("/var/lib/runbook/commands"))
		c := config{
			"argv":      words("sh", "-c", "echo x >>count; echo done >made; echo said"),
			"undo":      words("rm", "-f", "made"),
			"directory": cty.StringVal(dir),
		}
		if more != nil {
			for name, v := range more(dir) {
				if c[name] = v; v == cty.NilVal {
					delete(c, name)
				}
			}
		}
		read := func(t *testing.T, name string) string {
			text, err := os.ReadFile(filepath.Join(dir, name))
			if !errors.Is(err, fs.ErrNotExist) {
				must(t, err)
			}
			return string(text)
		}
		return contract.Scene{
			Config:  c,
			Observe: func(t *testing.T) string { return read(t, "made") },
			Count:   func(t *testing.T) string { return fmt.Sprintf("run %d times", strings.Count(read(t, "count"), "x")) },
		}
	}
}

func badCommand() []contract.Bad {
	return []contract.Bad{
		{Name: "empty", Set: setTo("argv", cty.ListValEmpty(cty.String)), Attribute: "argv", Message: "name the program first"},
		{Name: "a shell's line", Set: setTo("argv", words("rm -rf x")), Attribute: "argv", Message: "there is no shell"},
		{Name: "relative", Set: setTo("argv", words("./x")), Attribute: "argv", Message: "must be absolute"},
		{Name: "absent", Set: setTo("argv", words("/no/such")), Attribute: "argv", Message: "there is no such program"},
		{Name: "not in PATH", Set: setTo("undo", words("no-such")), Attribute: "undo", Message: "there is no such program"},
		{Name: "not executable", Set: setTo("probe", words("/etc/passwd")), Attribute: "probe", Message: "there is no such program"},
		{Name: "no directory", Set: set("directory", "/no/such"), Attribute: "directory", Message: "there is no such directory"},
		{Name: "file for a directory", Set: set("directory", "/etc/passwd"), Attribute: "directory", Message: "there is no such directory"},
		{Name: "variable's name", Attribute: "environment", Message: "can't be a variable's name",
			Set: setTo("environment", cty.MapVal(config{"A=B": cty.StringVal("c")}))},
		{Name: "no codes", Set: setTo("expected_codes", cty.ListValEmpty(cty.Number)), Attribute: "expected_codes", Message: "never succeed"},
		{Name: "code", Set: setTo("expected_codes", cty.ListVal([]cty.Value{cty.NumberIntVal(256)})), Attribute: "expected_codes", Message: "from 0 to 255"},
		{Name: "no time", Set: setTo("timeout_seconds", cty.Zero), Attribute: "timeout_seconds", Message: "from 1 to 2147483648"},
		{Name: "relative creates", Set: set("creates", "made"), Attribute: "creates", Message: "must be absolute"},
	}
}

func failingCommand() []contract.Bad {
	return []contract.Bad{
		{Name: "exit code", Set: setTo("argv", words("sh", "-c", "echo done >made; echo why >&2; exit 3")),
			Message: "it ended with exit code 3; it last said:\nwhy"},
		{Name: "signal", Set: setTo("argv", words("sh", "-c", "kill -SEGV $$")), Message: "it was killed by SIGSEGV"},
		{Name: "creates nothing", Set: set("creates", "/no/such"), Attribute: "creates", Message: "/no/such doesn't exist"},
		{Name: "no program file", Attribute: "argv", Message: "it couldn't be started",
			Set: func(t *testing.T, c config) {
				path := filepath.Join(c["directory"].AsString(), "program")
				must(t, os.WriteFile(path, []byte("\x7fELF"), 0o755))
				c["argv"] = words(path)
			}},
	}
}
