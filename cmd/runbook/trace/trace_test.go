package trace_test

import (
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	otlp "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"

	"runbook/cmd/runbook/trace"
	"runbook/engine"
)

// fakeCollector takes OTLP over HTTP and keeps the spans.
type fakeCollector struct {
	mu    sync.Mutex
	spans []*otlp.Span
	attrs map[string]string // of the process
	wrong error
}

func newFakeCollector(t *testing.T) *fakeCollector {
	c := &fakeCollector{attrs: map[string]string{}}
	server := httptest.NewServer(c)
	t.Cleanup(server.Close)
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", server.URL)
	return c
}

func (c *fakeCollector) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c.mu.Lock()
	defer c.mu.Unlock()
	var req collector.ExportTraceServiceRequest
	if err := decode(r, &req); err != nil {
		c.wrong = err
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	for _, res := range req.ResourceSpans {
		for _, a := range res.Resource.Attributes {
			c.attrs[a.Key] = a.Value.GetStringValue()
		}
		for _, scope := range res.ScopeSpans {
			c.spans = append(c.spans, scope.Spans...)
		}
	}
	w.Header().Set("Content-Type", "application/x-protobuf")
}

func decode(r *http.Request, into proto.Message) error {
	if r.URL.Path != "/v1/traces" || r.Header.Get("Content-Type") != "application/x-protobuf" {
		return errors.New("not OTLP: " + r.URL.Path)
	}
	body := io.Reader(r.Body)
	if r.Header.Get("Content-Encoding") == "gzip" {
		unzipped, err := gzip.NewReader(body)
		if err != nil {
			return err
		}
		body = unzipped
	}
	text, err := io.ReadAll(body)
	if err != nil {
		return err
	}
	return proto.Unmarshal(text, into)
}

// span returns the only span of that name.
func (c *fakeCollector) span(t *testing.T, name string) *otlp.Span {
	t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.wrong != nil {
		t.Fatal(c.wrong)
	}
	named := slices.DeleteFunc(slices.Clone(c.spans), func(s *otlp.Span) bool { return s.Name != name })
	if len(named) != 1 {
		t.Fatalf("%d spans are called %q; all: %v", len(named), name, c.spans)
	}
	return named[0]
}

func attr(s *otlp.Span, name string) string {
	for _, a := range s.Attributes {
		if a.Key == name {
			return a.Value.String()
		}
	}
	return ""
}

func newTracer(t *testing.T) *trace.Tracer {
	t.Helper()
	if !trace.Wanted() {
		t.Fatal("no collector is named")
	}
	return trace.New("v1", hclog.NewNullLogger())
}

var (
	started = engine.RunStarted{ID: "20260102-030405-abcd", Runbook: "etcd-restore", Host: "cp1"}
	stop    = engine.StepInfo{Name: "stop", Action: "systemd_unit", Index: 1, Total: 2}
	restore = engine.StepInfo{Name: "restore", Action: "etcd_snapshot_restore", Index: 2, Total: 2}
)

func TestSpans(t *testing.T) {
	c := newFakeCollector(t)
	tracer := newTracer(t)
	for _, e := range []engine.Event{
		started,
		engine.StepStarted{Step: stop}, engine.StepDone{Step: stop, Unchanged: true},
		engine.StepStarted{Step: restore},
		engine.StepRetried{Step: restore, Attempt: 1, Err: errors.New("not yet")},
		engine.StepFailed{Step: restore, Err: errors.New("the disk is full")},
	} {
		tracer.Event(e)
	}
	tracer.Close()

	run, first, second := c.span(t, "runbook etcd-restore"), c.span(t, "step stop"), c.span(t, "step restore")
	for _, s := range []*otlp.Span{first, second} {
		if !bytes.Equal(s.TraceId, run.TraceId) || !bytes.Equal(s.ParentSpanId, run.SpanId) {
			t.Errorf("%s is not below the run", s.Name)
		}
	}
	if run.Status.GetCode() != otlp.Status_STATUS_CODE_ERROR || attr(run, "runbook.run.id") == "" {
		t.Errorf("the run: %v", run)
	}
	if first.Status.GetCode() == otlp.Status_STATUS_CODE_ERROR || attr(first, "runbook.step.unchanged") == "" {
		t.Errorf("the first step: %v", first)
	}
	if second.Status.GetMessage() != "the disk is full" || len(second.Events) != 1 {
		t.Errorf("the second step: %v", second)
	}
	if c.attrs["service.name"] != "runbook" || c.attrs["service.version"] != "v1" {
		t.Errorf("the process: %v", c.attrs)
	}
}

// A run, its resume and its rollback are one trace.
func TestAResumeIsOfTheSameTrace(t *testing.T) {
	var ids [][]byte
	for _, events := range [][]engine.Event{
		{started, engine.StepStarted{Step: stop}},
		{engine.RunStarted{ID: started.ID, Runbook: started.Runbook, Host: started.Host, Resumed: true},
			engine.UndoStarted{Step: stop}, engine.UndoDone{Step: stop, Reason: "nothing to undo"}, engine.RolledBack{ID: started.ID}},
	} {
		c := newFakeCollector(t)
		tracer := newTracer(t)
		for _, e := range events {
			tracer.Event(e)
		}
		tracer.Close()
		ids = append(ids, c.span(t, "runbook etcd-restore").TraceId)
	}
	if !bytes.Equal(ids[0], ids[1]) {
		t.Errorf("two traces: %x and %x", ids[0], ids[1])
	}
}

// A collector that never answers holds the end of a run up by no more than
// what is promised.
func TestADeafCollectorIsNotWaitedFor(t *testing.T) {
	release := make(chan struct{})
	deaf := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-release }))
	defer deaf.Close()
	defer close(release)
	t.Setenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", deaf.URL+"/v1/traces")
	tracer := newTracer(t)
	tracer.Event(started)
	tracer.Event(engine.RunFinished{ID: started.ID})
	begin := time.Now()
	tracer.Close()
	if took := time.Since(begin); took > 4*time.Second {
		t.Errorf("it took %s", took)
	}
}

func TestWanted(t *testing.T) {
	for _, c := range []struct {
		name, value string
		want        bool
	}{
		{"OTEL_EXPORTER_OTLP_ENDPOINT", "", false},
		{"OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:4318", true},
		{"OTEL_SDK_DISABLED", "true", false},
		{"OTEL_TRACES_EXPORTER", "none", false},
	} {
		t.Run(c.name+"="+c.value, func(t *testing.T) {
			if c.name != "OTEL_EXPORTER_OTLP_ENDPOINT" {
				t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:4318")
			}
			t.Setenv(c.name, c.value)
			if got := trace.Wanted(); got != c.want {
				t.Errorf("wanted: %t", got)
			}
		})
	}
}

// Where nobody asked for traces, there is no tracer.
func TestNoTracer(t *testing.T) {
	var none *trace.Tracer
	none.Event(started)
	none.Close()
}
