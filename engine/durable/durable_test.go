package durable

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"runbook/engine"
)

func TestRenameReplacesNothing(t *testing.T) {
	dir := t.TempDir()
	a, b := filepath.Join(dir, "a"), filepath.Join(dir, "b")
	for _, path := range []string{a, b} {
		if err := WriteFile(path, []byte(path), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := Rename(a, b); !errors.Is(err, fs.ErrExist) {
		t.Errorf("got %v, want ErrExist", err)
	}
	if err := Replace(a, b); err != nil {
		t.Error(err)
	}
	if data, err := os.ReadFile(b); err != nil || string(data) != a {
		t.Errorf("b holds %q, %v", data, err)
	}
}

func TestRenameToAnotherFileSystemIsExplained(t *testing.T) {
	from := filepath.Join(t.TempDir(), "a")
	if err := WriteFile(from, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	err := Rename(from, "/dev/shm/runbook-durable-test")
	if !errors.Is(err, unix.EXDEV) || engine.HintOf(err) == "" {
		t.Errorf("got %v with hint %q", err, engine.HintOf(err))
	}
}

func TestWriteFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f")
	stale := filepath.Join(filepath.Dir(path), ".f.tmp")
	if err := os.WriteFile(stale, []byte("left by a crash"), 0o400); err != nil {
		t.Fatal(err)
	}
	for _, content := range []string{"first", "second"} {
		if err := WriteFile(path, []byte(content), 0o666); err != nil {
			t.Fatal(err)
		}
		data, err := os.ReadFile(path)
		if err != nil || string(data) != content {
			t.Errorf("it holds %q, %v", data, err)
		}
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode() != 0o666 {
		t.Errorf("mode %v, %v: the umask must not count", info.Mode(), err)
	}
	if _, err := os.Stat(stale); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the temporary file stays: %v", err)
	}
}

func TestSyncFS(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f")
	if err := WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := SyncFS(path); err != nil {
		t.Error(err)
	}
	if err := SyncDir(path + ".none"); err == nil {
		t.Error("an absent directory can't be synced")
	}
}

func TestMkdirAll(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a", "b")
	for range 2 {
		if err := MkdirAll(dir, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	info, err := os.Stat(dir)
	if err != nil || info.Mode() != os.ModeDir|0o700 {
		t.Error(info, err)
	}
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := MkdirAll(filepath.Join(file, "c"), 0o700); err == nil {
		t.Error("made a directory in a file")
	}
}
