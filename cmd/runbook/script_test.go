package main

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"runbook/actions"
	"runbook/engine/journal"
)

func TestMain(m *testing.M) {
	if actions.ChildMain(os.Args[1:]) {
		return
	}
	if os.Getenv(asRunbook) != "" {
		os.Exit(int(execute()))
	}
	testscript.Main(m, map[string]func(){"runbook": func() { os.Exit(int(execute())) }})
}

// TestScripts runs the scripts in testdata, one for each thing that the
// command line promises.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata",
		Setup: func(env *testscript.Env) error {
			env.Setenv("RUNBOOK_STATE_DIR", filepath.Join(env.WorkDir, "state"))
			env.Setenv("RUNBOOK_LOCK", filepath.Join(env.WorkDir, "machine.lock"))
			bin, err := exec.LookPath("runbook")
			if err != nil {
				return err
			}
			env.Setenv("BIN", filepath.Dir(bin))
			return nil
		},
		Condition: func(name string) (bool, error) {
			if name != "root" {
				return false, fmt.Errorf("there is no such condition")
			}
			return os.Geteuid() == 0, nil
		},
		Cmds: map[string]func(ts *testscript.TestScript, neg bool, args []string){
			"exit": exitWith, "holdlock": holdLock, "nobodyreads": nobodyReads, "fakecollector": fakeCollector,
			"validjson": validJSON, "snapshot": makeSnapshot, "damage": damage,
		},
	})
}

// exitWith runs a command and wants an exit code: exit CODE COMMAND ARG…
func exitWith(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exit CODE COMMAND ARG...")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	err = ts.Exec(args[1], args[2:]...)
	got := 0
	if err != nil {
		if _, scanErr := fmt.Sscanf(err.Error(), "exit status %d", &got); scanErr != nil {
			ts.Fatalf("%v", err)
		}
	}
	if got != want {
		ts.Fatalf("exit code %d, want %d", got, want)
	}
}

// nobodyReads runs a command, which has to succeed, with a standard output that
// nobody reads any more.
func nobodyReads(ts *testscript.TestScript, _ bool, args []string) {
	r, w, err := os.Pipe()
	ts.Check(err)
	ts.Check(r.Close())
	defer w.Close()
	cmd := exec.Command(filepath.Join(ts.Getenv("BIN"), args[0]), args[1:]...)
	cmd.Dir, cmd.Stdout = ts.MkAbs("."), w
	cmd.Env = append(os.Environ(), "RUNBOOK_STATE_DIR="+ts.Getenv("RUNBOOK_STATE_DIR"), "RUNBOOK_LOCK="+ts.Getenv("RUNBOOK_LOCK"))
	if err := cmd.Run(); err != nil {
		ts.Fatalf("%v: %v", args, err)
	}
}

// holdLock holds a lock until the script ends: holdlock FILE.
func holdLock(ts *testscript.TestScript, _ bool, args []string) {
	path := ts.MkAbs(args[0])
	ts.Check(os.MkdirAll(filepath.Dir(path), 0o700))
	l, err := journal.Acquire(path, journal.Holder{
		PID: 4711, Run: "r-first", Doing: "run", Since: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC),
	})
	ts.Check(err)
	ts.Defer(func() { _ = l.Release() })
}

// fakeCollector answers as an OpenTelemetry collector does until the script
// ends, and appends what it is sent to a file: fakecollector FILE. Programs
// find it through OTEL_EXPORTER_OTLP_ENDPOINT.
func fakeCollector(ts *testscript.TestScript, _ bool, args []string) {
	f, err := os.Create(ts.MkAbs(args[0]))
	ts.Check(err)
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(f, r.Body) // what is missing, the script misses
	}))
	ts.Defer(func() { server.Close(); _ = f.Close() })
	ts.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", server.URL)
}
