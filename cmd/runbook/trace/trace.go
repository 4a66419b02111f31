// Package trace tells an OpenTelemetry collector what a run does: a span for
// the run, and one for each step below it.
//
// It follows the engine's events and never gets in the way of a run: spans are
// handed on in the background, dropped where the collector is too slow, and
// its failures are logged and nothing more.
package trace

import (
	"context"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/go-logr/logr/funcr"
	"github.com/hashicorp/go-hclog"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/sdk/resource"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"

	"runbook/engine"
)

// flushTime bounds how long the end of a run waits for the collector.
const flushTime = 2 * time.Second

// Wanted reports whether the environment names a collector.
func Wanted() bool {
	off := strings.EqualFold(os.Getenv("OTEL_SDK_DISABLED"), "true") || os.Getenv("OTEL_TRACES_EXPORTER") == "none"
	named := os.Getenv("OTEL_EXPORTER_OTLP_ENDPOINT") != "" || os.Getenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT") != ""
	return named && !off
}

// Tracer makes spans of events. A nil Tracer does nothing.
type Tracer struct {
	provider *sdk.TracerProvider

	mu    sync.Mutex // a request to stop comes from another goroutine
	ctx   context.Context
	run   trace.Span
	steps map[string]trace.Span
}

// New returns a Tracer that sends to the collector that the environment names.
// What goes wrong goes to log; the Tracer is nil where nothing can be sent.
func New(version string, log hclog.Logger) *Tracer {
	report(log)
	exporter, err := otlptracehttp.New(context.Background())
	if err != nil {
		log.Warn("no traces: the exporter can't be set up", "error", err)
		return nil
	}
	provider := sdk.NewTracerProvider(sdk.WithBatcher(exporter), sdk.WithIDGenerator(generator{}), sdk.WithResource(about(version, log)))
	return &Tracer{provider: provider, steps: map[string]trace.Span{}}
}

// report sends to log what the libraries would write to stderr.
func report(log hclog.Logger) {
	otel.SetErrorHandler(otel.ErrorHandlerFunc(func(err error) { log.Warn("sending traces", "error", err) }))
	otel.SetLogger(funcr.New(func(_, text string) { log.Warn("traces", "library", text) }, funcr.Options{}))
}

// about describes this process; OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES
// have the last word.
func about(version string, log hclog.Logger) *resource.Resource {
	res, err := resource.New(context.Background(),
		resource.WithAttributes(attribute.String("service.name", "runbook"), attribute.String("service.version", version)),
		resource.WithHost(), resource.WithFromEnv())
	if err != nil {
		log.Warn("describing this process for traces", "error", err)
	}
	return res
}

// Close ends what is still open and waits a moment for the collector.
func (t *Tracer) Close() {
	if t == nil {
		return
	}
	t.mu.Lock()
	for name := range t.steps {
		t.endStep(name, "interrupted")
	}
	t.endRun("stopped")
	t.mu.Unlock()
	ctx, cancel := context.WithTimeout(context.Background(), flushTime)
	defer cancel()
	if err := t.provider.Shutdown(ctx); err != nil {
		otel.Handle(err)
	}
}

// Event follows one event of a run.
func (t *Tracer) Event(e engine.Event) {
	if t == nil {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if start, ok := e.(engine.RunStarted); ok {
		t.startRun(start)
	}
	if t.run == nil {
		return
	}
	switch e := e.(type) {
	case engine.Stopping:
		t.run.AddEvent("asked to stop")
	case engine.RunFinished:
		t.endRun("")
	case engine.RolledBack:
		t.run.SetAttributes(attribute.Bool("runbook.run.rolled_back", true))
		t.endRun("")
	default:
		t.step(e)
	}
}

func (t *Tracer) step(e engine.Event) {
	switch e := e.(type) {
	case engine.StepStarted:
		t.startStep("step", e.Step)
	case engine.StepExamined:
		t.note(e.Step, "examined", attribute.String("runbook.finding", e.Finding))
	case engine.StepRetried:
		t.note(e.Step, "attempt failed", attribute.Int("runbook.attempt", e.Attempt), attribute.String("error", text(e.Err)))
	case engine.StepDone:
		t.set(e.Step, attribute.Bool("runbook.step.unchanged", e.Unchanged))
		t.endStep(e.Step.Name, "")
	case engine.StepSkipped:
		t.startStep("step", e.Step)
		t.set(e.Step, attribute.String("runbook.step.skipped", e.Reason))
		t.endStep(e.Step.Name, "")
	case engine.StepWaiting:
		t.startStep("step", e.Step)
		t.set(e.Step, attribute.Bool("runbook.step.waiting", true))
		t.endStep(e.Step.Name, "")
	case engine.StepFailed:
		t.endStep(e.Step.Name, text(e.Err))
	case engine.UndoStarted:
		t.startStep("undo", e.Step)
	case engine.UndoDone:
		t.set(e.Step, attribute.String("runbook.undo.reason", e.Reason))
		t.endStep(e.Step.Name, "")
	case engine.UndoFailed:
		t.endStep(e.Step.Name, text(e.Err))
	}
}

func text(err error) string {
	if err == nil {
		return "failed"
	}
	return err.Error()
}

func (t *Tracer) startRun(e engine.RunStarted) {
	t.endRun("")
	ctx := withRun(context.Background(), e.Host+" "+e.ID)
	t.ctx, t.run = t.tracer().Start(ctx, "runbook "+e.Runbook, trace.WithAttributes(
		attribute.String("runbook.name", e.Runbook),
		attribute.String("runbook.run.id", e.ID),
		attribute.String("runbook.host", e.Host),
		attribute.Bool("runbook.run.resumed", e.Resumed),
		attribute.Int("runbook.run.done_before", e.Done),
	))
}

func (t *Tracer) tracer() trace.Tracer { return t.provider.Tracer("runbook") }

// endRun ends the run's span; failure says why it didn't end well.
func (t *Tracer) endRun(failure string) {
	if t.run == nil {
		return
	}
	end(t.run, failure)
	t.run = nil
}

func (t *Tracer) startStep(doing string, s engine.StepInfo) {
	t.endStep(s.Name, "")
	_, t.steps[s.Name] = t.tracer().Start(t.ctx, doing+" "+s.Name, trace.WithAttributes(
		attribute.String("runbook.step.name", s.Name),
		attribute.String("runbook.step.action", s.Action),
		attribute.Int("runbook.step.index", s.Index),
	))
}

func (t *Tracer) endStep(name, failure string) {
	if span, ok := t.steps[name]; ok {
		end(span, failure)
		delete(t.steps, name)
	}
}

func (t *Tracer) note(s engine.StepInfo, what string, attrs ...attribute.KeyValue) {
	if span, ok := t.steps[s.Name]; ok {
		span.AddEvent(what, trace.WithAttributes(attrs...))
	}
}

func (t *Tracer) set(s engine.StepInfo, attr attribute.KeyValue) {
	if span, ok := t.steps[s.Name]; ok {
		span.SetAttributes(attr)
	}
}

func end(span trace.Span, failure string) {
	if failure != "" {
		span.SetStatus(codes.Error, failure)
	}
	span.End()
}
