package lang

import (
	"errors"
	"io"
	"os"
	"unicode/utf8"

	"golang.org/x/sys/unix"

	"runbook/engine"
)

// MostText is how much text a runbook, and a file that it reads, may hold, in
// bytes; mostTexts is for all of them. All of it is kept in the journal and in
// memory.
const (
	MostText  = 4 << 20
	mostTexts = 16 << 20
)

// ReadFile returns the content of a regular file of up to most bytes. Whatever
// else has that name isn't waited for, and a file of any size does no harm.
func ReadFile(path string, most int64) ([]byte, error) {
	// Opening a pipe would wait for its other end.
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK, 0)
	if errors.Is(err, unix.ENXIO) {
		return nil, noFileAt(path, "socket")
	}
	if err != nil {
		return nil, because(path, err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, because(path, err)
	}
	if !info.Mode().IsRegular() {
		return nil, noFileAt(path, kindOf(info.Mode()))
	}
	if info.Size() > most {
		return nil, tooLarge(path, most)
	}
	return ReadAtMost(f, path, most)
}

// ReadAtMost returns what comes from r, up to most bytes. name is for errors.
func ReadAtMost(r io.Reader, name string, most int64) ([]byte, error) {
	text, err := io.ReadAll(io.LimitReader(r, most+1))
	switch {
	case err != nil:
		return nil, because(name, err)
	case int64(len(text)) > most:
		return nil, tooLarge(name, most)
	}
	return text, nil
}

// because is what happened to a file, without what was tried.
func because(path string, err error) error {
	if e := (*os.PathError)(nil); errors.As(err, &e) {
		err = e.Err
	}
	return &engine.Error{Where: path, Err: err}
}

func noFileAt(path, kind string) error {
	return engine.Errorf(path, "it is a %s and no file", kind).WithHint("Name a file: a run has to find the same again")
}

func tooLarge(name string, most int64) error {
	return engine.Errorf(name, "it is too large: more than %d MiB", most>>20)
}

func kindOf(m os.FileMode) string {
	switch {
	case m.IsDir():
		return "directory"
	case m&os.ModeNamedPipe != 0:
		return "pipe"
	}
	return "device"
}

// readText is ReadFile for a text. What isn't UTF-8 could not be kept as it is:
// journals, plans and expressions hold Unicode alone.
func readText(path string) (string, error) {
	text, err := ReadFile(path, MostText)
	if err != nil {
		return "", err
	}
	if at := notUTF8(text); at >= 0 {
		return "", engine.Errorf(path, "it is no text: byte %d is not UTF-8", at).WithHint("Save it as UTF-8")
	}
	return string(text), nil
}

// notUTF8 is where text stops being UTF-8; -1 if nowhere.
func notUTF8(text []byte) int {
	if utf8.Valid(text) {
		return -1
	}
	for at := 0; ; {
		r, n := utf8.DecodeRune(text[at:])
		if r == utf8.RuneError && n == 1 {
			return at
		}
		at += n
	}
}
