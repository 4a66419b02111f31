package etcd

import (
	"fmt"
	"runtime"
	"sync"

	"github.com/hashicorp/go-hclog"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// logger takes what etcd's libraries log.
var logger hclog.Logger = hclog.NewNullLogger()

// SetLogger makes etcd's libraries log to l. It is to be called before the
// first action is used.
func SetLogger(l hclog.Logger) { logger = l }

// zapLogger is a logger for etcd's libraries. What they hold to be fatal
// panics instead of ending the process.
func zapLogger() *zap.Logger { return zapLoggerTo(nil) }

// zapLoggerTo is zapLogger that also notes the errors that are logged.
func zapLoggerTo(said *lastWords) *zap.Logger {
	return zap.New(&zapCore{to: logger, said: said}, zap.WithFatalHook(zapcore.WriteThenPanic))
}

// lastWords keep the last error that a library logged. It panics without it.
type lastWords struct {
	mu  sync.Mutex
	err error
}

func (l *lastWords) note(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.err = err
}

// cause is the error that a library has panicked for.
func (l *lastWords) cause(panicked any) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.err == nil {
		return fmt.Errorf("%v", panicked)
	}
	if _, bug := panicked.(runtime.Error); bug { // while it cleared up behind the error
		return l.err
	}
	return fmt.Errorf("%v: %w", panicked, l.err)
}

// zapCore hands zap's entries to an hclog logger.
type zapCore struct {
	to     hclog.Logger
	said   *lastWords // nil where nobody asks
	fields []zapcore.Field
}

var _ zapcore.Core = (*zapCore)(nil)

// Enabled says yes to all levels; hclog filters.
func (c *zapCore) Enabled(zapcore.Level) bool { return true }

// With returns a core that adds fields to each entry.
func (c *zapCore) With(fields []zapcore.Field) zapcore.Core {
	return &zapCore{to: c.to, said: c.said, fields: append(append([]zapcore.Field{}, c.fields...), fields...)}
}

// Check implements zapcore.Core.
func (c *zapCore) Check(e zapcore.Entry, ce *zapcore.CheckedEntry) *zapcore.CheckedEntry {
	return ce.AddCore(e, c)
}

// Write implements zapcore.Core.
func (c *zapCore) Write(e zapcore.Entry, fields []zapcore.Field) error {
	enc := zapcore.NewMapObjectEncoder()
	for _, f := range append(append([]zapcore.Field{}, c.fields...), fields...) {
		f.AddTo(enc)
		if err, ok := f.Interface.(error); ok && f.Type == zapcore.ErrorType && c.said != nil {
			c.said.note(err)
		}
	}
	args := make([]any, 0, 2*len(enc.Fields))
	for k, v := range enc.Fields {
		args = append(args, k, v)
	}
	c.to.Log(hclogLevel(e.Level), e.Message, args...)
	return nil
}

// Sync implements zapcore.Core.
func (c *zapCore) Sync() error { return nil }

func hclogLevel(l zapcore.Level) hclog.Level {
	switch {
	case l < zapcore.InfoLevel:
		return hclog.Trace
	case l == zapcore.InfoLevel:
		return hclog.Debug // a library's progress is a detail here
	case l == zapcore.WarnLevel:
		return hclog.Warn
	}
	return hclog.Error
}
