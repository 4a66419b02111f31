package actions_test

import (
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/hashicorp/go-hclog"
	"github.com/zclconf/go-cty/cty"

	"runbook/actions"
	"runbook/engine"
	"runbook/engine/host"
	"runbook/test/contract"
)

var sendCalls = []string{"write", "connect"}

func httpCases() []contract.Case {
	return []contract.Case{
		{Name: "that looks", Action: "http", Looks: true, Setup: httpScene("GET", nil), Bad: badHTTP(), Fails: failingHTTP()},
		{Name: "with a key", Action: "http", Syscalls: sendCalls,
			Setup: httpScene("POST", config{"idempotency_key_header": cty.StringVal("Idempotency-Key")})},
		{Name: "that is idempotent", Action: "http", Syscalls: sendCalls,
			Setup: httpScene("PUT", config{"idempotent": cty.True})},
		{Name: "that nothing makes safe", Action: "http", Syscalls: sendCalls,
			Setup: httpScene("POST", config{"expected_status": cty.ListVal([]cty.Value{cty.NumberIntVal(201)})})},
	}
}

// orders is a server that takes each key once, as one for payments would.
type orders struct {
	mu   sync.Mutex
	seen map[string]bool
	put  string
}

func (o *orders) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	o.mu.Lock()
	defer o.mu.Unlock()
	body, err := io.ReadAll(r.Body)
	switch {
	case err != nil:
		return // cut off half-way: it has no effect
	case r.URL.Path == "/no":
		http.Error(w, "no such thing", http.StatusTeapot)
	case r.Method == http.MethodPost:
		o.seen[r.Header.Get("Idempotency-Key")] = true
		w.WriteHeader(http.StatusCreated)
	case r.Method == http.MethodPut:
		o.put = string(body)
	}
	w.Header().Set("X-Answer", "42")
	_, _ = fmt.Fprintf(w, "%s %s %s", r.Method, r.Header.Get("X-Given"), body) // the client may be gone
}

func httpScene(method string, more config) func(*testing.T) contract.Scene {
	return func(t *testing.T) contract.Scene {
		o := &orders{seen: map[string]bool{}}
		server := httptest.NewTLSServer(o)
		t.Cleanup(server.Close)
		ca := filepath.Join(t.TempDir(), "ca.pem")
		block := pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}
		must(t, os.WriteFile(ca, pem.EncodeToMemory(&block), 0o600))
		c := config{
			"url": cty.StringVal(server.URL), "method": cty.StringVal(method), "ca": cty.StringVal(ca),
			"headers": cty.MapVal(config{"X-Given": cty.StringVal("given")}),
		}
		if method != "GET" {
			c["body"] = cty.StringVal("wanted")
		}
		for name, v := range more {
			c[name] = v
		}
		return contract.Scene{
			Config: c,
			// What is behind the URL can't be undone, so it only counts.
			Observe: func(*testing.T) string { return "" },
			Count: func(*testing.T) string {
				o.mu.Lock()
				defer o.mu.Unlock()
				return fmt.Sprintf("%d requests, put %q", len(o.seen), o.put)
			},
		}
	}
}

func badHTTP() []contract.Bad {
	return []contract.Bad{
		{Name: "no scheme", Set: set("url", "example.com"), Attribute: "url", Message: "begins with http://"},
		{Name: "method", Set: set("method", "get"), Attribute: "method", Message: "one of GET"},
		{Name: "header", Set: setTo("headers", cty.MapVal(config{"A B": cty.StringVal("")})), Attribute: "headers", Message: "can't be a header's name"},
		{Name: "header's value", Set: setTo("headers", cty.MapVal(config{"A": cty.StringVal("b\nc")})), Attribute: "headers", Message: "of one line"},
		{Name: "status", Set: setTo("expected_status", cty.ListVal([]cty.Value{cty.NumberIntVal(100)})), Attribute: "expected_status", Message: "from 200 to 599"},
		{Name: "no status", Set: setTo("expected_status", cty.ListValEmpty(cty.Number)), Attribute: "expected_status", Message: "never succeed"},
		{Name: "certificate alone", Set: set("cert", "/etc/cert.pem"), Attribute: "cert", Message: "go together"},
		{Name: "relative CA", Set: set("ca", "ca.pem"), Attribute: "ca", Message: "must be absolute"},
	}
}

func failingHTTP() []contract.Bad {
	return []contract.Bad{
		{Name: "status", Message: "it answered with 418 I'm a teapot instead of a status from 200 to 299:\nno such thing",
			Set: func(_ *testing.T, c config) { c["url"] = cty.StringVal(c["url"].AsString() + "/no") }},
		{Name: "nobody there", Set: set("url", "http://127.0.0.1:1"), Attribute: "url", Message: "connection refused"},
		{Name: "unknown CA", Set: setTo("ca", cty.NullVal(cty.String)), Attribute: "url", Message: "unknown authority"},
		{Name: "no CA file", Set: set("ca", "/no/such"), Attribute: "ca", Message: "reading the CA"},
		{Name: "no certificate in it", Set: set("ca", "/etc/passwd"), Attribute: "ca", Message: "holds no certificate"},
	}
}

// read reads a data source with its defaults.
func read(t *testing.T, source string, c config) engine.Result {
	t.Helper()
	reg := actions.Registry(hclog.NewNullLogger())
	spec, ok := reg.DataSource(source)
	if !ok {
		t.Fatalf("there is no data source %s", source)
	}
	res, err := host.NewLocal(reg).Read(t.Context(), engine.DataRequest{Type: source, Config: withDefaults(t, spec.Attributes, c)})
	must(t, err)
	_, err = engine.ResultValue(spec.Results, res, false)
	must(t, err)
	if len(res) != len(spec.Results) {
		t.Errorf("%s: %d results, %d declared", source, len(res), len(spec.Results))
	}
	return res
}

// withDefaults encodes a configuration as the language would.
func withDefaults(t *testing.T, attributes []engine.Attribute, c config) json.RawMessage {
	t.Helper()
	all := config{}
	for _, a := range attributes {
		switch v, set := c[a.Name]; {
		case set:
			all[a.Name] = v
		case a.Default != cty.NilVal:
			all[a.Name] = a.Default
		default:
			all[a.Name] = cty.NullVal(a.Type)
		}
	}
	raw, err := engine.EncodeConfig(attributes, cty.ObjectVal(all))
	must(t, err)
	return raw
}

func TestHTTPData(t *testing.T) {
	c := httpScene("GET", nil)(t).Config
	delete(c, "method")
	res := read(t, "http", c)
	headers, _ := res["headers"].(map[string]string)
	if res["status"] != 200 || res["body"] != "GET given " || headers["x-answer"] != "42" {
		t.Errorf("results: %v", res)
	}
	c["url"] = cty.StringVal(c["url"].AsString() + "/no")
	if res := read(t, "http", c); res["status"] != http.StatusTeapot {
		t.Errorf("results: %v", res)
	}
}

func TestHostData(t *testing.T) {
	res := read(t, "host", nil)
	name, err := os.Hostname()
	must(t, err)
	if res["hostname"] != name || res["init"] != "systemd" || res["boot_id"] == "" || res["memory"].(uint64) < 1<<20 {
		t.Errorf("results: %v", res)
	}
}

func TestUnitData(t *testing.T) {
	prepareUnit(t, up)
	res := read(t, "unit", config{"name": cty.StringVal(unitName)})
	if res["active"] != true || res["main_pid"].(int) == 0 || !strings.HasSuffix(res["fragment_path"].(string), "/"+unitName) {
		t.Errorf("results: %v", res)
	}
	if res := read(t, "unit", config{"name": cty.StringVal("no-such.service")}); res["load_state"] != "not-found" {
		t.Errorf("results: %v", res)
	}
}
