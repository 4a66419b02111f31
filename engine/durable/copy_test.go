package durable

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
)

func TestCopySum(t *testing.T) {
	dir := t.TempDir()
	from := filepath.Join(dir, "from")
	data := bytes.Repeat([]byte("0123456789abcdef"), 3*copyBlock/16+1)
	mustDo(t, os.WriteFile(from, data, 0o600))
	for name, n := range map[string]int64{"nothing": 0, "a byte": 1, "a block": copyBlock, "a block and a bit": copyBlock + 7, "all": int64(len(data))} {
		t.Run(name, func(t *testing.T) {
			to, last := filepath.Join(t.TempDir(), "to"), int64(0)
			sum, err := CopyFile(t.Context(), open(t, from), to, n, func(done int64) {
				if done <= last {
					t.Errorf("%d bytes after %d", done, last)
				}
				last = done
			})
			mustDo(t, err)
			got, err := os.ReadFile(to)
			mustDo(t, err)
			if want := sha256.Sum256(data[:n]); !bytes.Equal(sum, want[:]) || !bytes.Equal(got, data[:n]) || last != n {
				t.Errorf("%d bytes are copied, %d told, with the sum %x", len(got), last, sum)
			}
			if _, err := CopyFile(t.Context(), open(t, from), to, n, func(int64) {}); !errors.Is(err, fs.ErrExist) {
				t.Errorf("over a file that is there: %v", err)
			}
		})
	}
}

func TestCopySumFails(t *testing.T) {
	dir := t.TempDir()
	from := filepath.Join(dir, "from")
	mustDo(t, os.WriteFile(from, []byte("short"), 0o600))
	if _, err := CopyFile(t.Context(), open(t, from), filepath.Join(dir, "longer"), 6, func(int64) {}); err == nil {
		t.Error("a file that is too short was copied")
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := CopyFile(ctx, open(t, from), filepath.Join(dir, "cancelled"), 5, func(int64) {}); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

func open(t *testing.T, path string) *os.File {
	t.Helper()
	f, err := os.Open(path)
	mustDo(t, err)
	t.Cleanup(func() { f.Close() })
	return f
}
