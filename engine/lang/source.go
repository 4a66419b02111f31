package lang

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"path/filepath"
)

// Source is a file as it was read.
type Source struct {
	Name string `json:"name"` // as given by the user, or relative to the runbook's directory
	Text string `json:"text"`
}

// Sources are all files that a runbook is made of: itself and what it reads
// with file(). The first one is the runbook. A run keeps them in its journal,
// so that a resume follows what was started and not what is on disk now.
type Sources struct {
	path  string // of the runbook, absolute; empty if it is no file
	files []Source
	// open reads what the runbook names, relative to its directory; nil once
	// sealed.
	open func(name string) (string, error)
}

// ReadSources reads the runbook at path.
func ReadSources(path string) (*Sources, error) {
	text, err := readText(path)
	if err != nil {
		return nil, err
	}
	s := NewSources(Source{Name: path, Text: text})
	s.open = func(name string) (string, error) {
		if !filepath.IsAbs(name) {
			name = filepath.Join(filepath.Dir(path), name)
		}
		return readText(name)
	}
	if s.path, err = filepath.Abs(path); err != nil {
		return nil, err
	}
	return s, nil
}

// OrElse has what the runbook names and isn't beside it be read from files, where it
// is there: a copy of a runbook whose parts are there goes without copies of these.
func (s *Sources) OrElse(files fs.FS) {
	beside := s.open
	s.open = func(name string) (string, error) {
		text, err := beside(name)
		if !errors.Is(err, fs.ErrNotExist) || filepath.IsAbs(name) {
			return text, err
		}
		if part, gone := fs.ReadFile(files, path.Clean("/" + name)[1:]); gone == nil {
			return string(part), nil
		}
		return text, err
	}
}

// ReadSourcesIn reads the runbook called name in files, and what it names from
// there as well.
func ReadSourcesIn(files fs.FS, name string) (*Sources, error) {
	text, err := fs.ReadFile(files, name)
	if err != nil {
		return nil, err
	}
	s := NewSources(Source{Name: name, Text: string(text)})
	s.open = func(other string) (string, error) {
		text, err := fs.ReadFile(files, path.Join(path.Dir(name), other))
		return string(text), err
	}
	return s, nil
}

// NewSources returns sources that are complete: nothing else is read from disk.
func NewSources(files ...Source) *Sources {
	return &Sources{files: files}
}

// Seal stops reading from disk: what has been read so far is all there is.
func (s *Sources) Seal() { s.open = nil }

// Path is the runbook's absolute path; empty if it is no file.
func (s *Sources) Path() string { return s.path }

// All returns the files, the runbook first.
func (s *Sources) All() []Source { return s.files }

// Size is how much text the files hold, in bytes.
func (s *Sources) Size() int {
	n := 0
	for _, f := range s.files {
		n += len(f.Text)
	}
	return n
}

// read returns the content of a file that the runbook names.
func (s *Sources) read(name string) (string, error) {
	for _, f := range s.files[1:] {
		if f.Name == name {
			return f.Text, nil
		}
	}
	if name == "" {
		return "", errors.New("it names no file")
	}
	if s.open == nil {
		return "", fmt.Errorf("%s was not read when the run began; a file's name must not depend on a step's result", name)
	}
	text, err := s.open(name)
	if err != nil {
		return "", err
	}
	if s.Size()+len(text) > mostTexts {
		return "", fmt.Errorf("with %s, the runbook and the files that it reads come to more than %d MiB", name, mostTexts>>20)
	}
	s.files = append(s.files, Source{Name: name, Text: text})
	return text, nil
}
