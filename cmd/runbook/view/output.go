package view

import (
	"os"
	"sync"
)

// Output is a file that is written to for as long as it takes what is written.
// A disk that is full, or a reader that has gone, is no reason to leave a
// recovery half-way: nobody else has to look at its errors, but they are kept
// for the end.
type Output struct {
	*os.File
	mu  sync.Mutex
	err error // the first failure
}

// NewOutput returns an Output to f.
func NewOutput(f *os.File) *Output { return &Output{File: f} }

// Write writes to the file, and keeps the first failure.
func (o *Output) Write(p []byte) (int, error) {
	n, err := o.File.Write(p)
	if err != nil {
		o.mu.Lock()
		defer o.mu.Unlock()
		if o.err == nil {
			o.err = err
		}
	}
	return n, err
}

// WriteString is Write.
func (o *Output) WriteString(s string) (int, error) { return o.Write([]byte(s)) }

// Err returns the first failure to write; nil where there was none.
func (o *Output) Err() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.err
}
