package security

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"html"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	"runbook/test/program"
	"runbook/test/torture/tally"
)

// given are the values of the sensitive variables.
var given = map[string]string{
	"plain": "hunter2-Tr0ub4dor",
	"odd":   `p'ä"s\s<&>%/+ w;$x=9`,
	"lines": "-----BEGIN SOMETHING-----\nMHcCAQEEIKj1yZsW0Q9xN6vT\nqgB3cXoL8uYw5Rk2DfHs7JtE\n-----END SOMETHING-----\n",
	"pin":   "4815162342",
}

// leaky uses the variables in every place that takes one, and has everything
// that can talk say them aloud.
const leaky = `
variable "plain" {
  type      = string
  sensitive = true
}
variable "odd" {
  type      = string
  sensitive = true
}
variable "lines" {
  type      = string
  sensitive = true
}
variable "pin" {
  type      = number
  sensitive = true
}
variable "stops" { default = true }
locals {
  all   = "${var.plain} ${var.odd} ${var.pin}"
  echo  = "printf '%s\\n' \"$PLAIN\" \"$ODD\" \"$PIN\" \"$LINES\"; printf %s \"$PLAIN\" | base64; printf %s \"$PLAIN\" | xxd -p; cat"
  basic = "Basic ${base64encode("operator:${var.plain}")}"
  env = {
    PLAIN = var.plain
    ODD   = var.odd
    LINES = var.lines
    PIN   = tostring(var.pin)
  }
}
step "command" "says" {
  argv        = ["sh", "-c", "${local.echo}; ${local.echo} >&2"]
  environment = local.env
  stdin       = local.all
  undo        = ["sh", "-c", "echo undoing; ${local.echo} >&2; exit 0"]
}
step "command" "says_and_fails" {
  on_failure  = "continue"
  argv        = ["sh", "-c", "${local.echo} >&2; exit 7"]
  environment = local.env
  stdin       = local.all
  retry {
    attempts = 2
    delay    = "1ms"
  }
}
step "command" "takes_arguments" {
  on_failure = "continue"
  argv       = ["sh", "-c", "echo \"$0\" \"$@\" >&2; exit 1", var.plain, var.odd, tostring(var.pin)]
}
step "command" "is_cut" {
  on_failure = "continue"
  # The title ends, and the line, and what is kept, in the middle of the secret.
  argv        = ["sh", "-c", "head -c 490 /dev/zero | tr '\\0' x; echo \"$PLAIN\"; head -c 65520 /dev/zero | tr '\\0' 'y\\n'; exit 1", "${join("", [for i in range(55) : "z"])}${var.plain}"]
  environment = local.env
}
step "command" "is_cut_at_its_head" {
  argv        = ["sh", "-c", "head -c 300000 /dev/zero | tr '\\0' x; echo \"$PLAIN\"; head -c 65520 /dev/zero | tr '\\0' y"]
  environment = local.env
}
step "command" "does_not_start" {
  on_failure = "continue"
  argv       = ["/${var.plain}/no-such-program"]
}
step "write_file" "secret" {
  path    = "DIR/written/secret"
  mode    = "0600"
  content = local.all
}
step "write_file" "public" {
  path    = "DIR/written/public"
  mode    = "0644"
  content = "password = ${var.plain}\nkey = ${var.lines}"
}
step "write_file" "nowhere" {
  on_failure = "continue"
  path       = "DIR/written/${var.plain}"
  mode       = "0600"
  content    = var.lines
}
step "make_directory" "name" {
  path = "DIR/written/dir-${var.plain}"
}
step "http" "tells" {
  url     = "HTTP/ok?token=${base64encode(var.odd)}"
  method  = "POST"
  headers = { Authorization = local.basic, X-Odd = base64encode(var.odd) }
  body    = jsonencode({ password = var.odd, key = var.lines, pin = var.pin })
}
step "http" "is_refused" {
  on_failure = "continue"
  url        = "HTTP/refused?token=${base64encode(var.odd)}&user=${var.plain}"
  method     = "PUT"
  headers    = { Authorization = local.basic }
  body       = local.all
}
step "http" "finds_nobody" {
  on_failure = "continue"
  url        = "http://127.0.0.1:1/${var.plain}?odd=${var.odd}"
}
step "systemd_unit" "unit" {
  on_failure = "continue"
  unit       = "${var.plain}.service"
  state      = "started"
}
step "etcd_health" "etcd" {
  on_failure = "continue"
  endpoints  = ["http://${var.plain}.invalid:1"]
  timeout_seconds = 1
}
step "etcd_snapshot_save" "save" {
  on_failure = "continue"
  endpoints  = ["http://127.0.0.1:1"]
  path       = "DIR/written/${var.plain}.db"
  timeout_seconds = 1
}
step "write_file" "precondition" {
  on_failure = "continue"
  path       = "DIR/written/never"
  content    = "never"
  precondition {
    condition     = path("DIR/written/secret").size == 1
    error_message = "It is not ${var.plain} or ${var.odd}."
  }
}
step "write_file" "postcondition" {
  on_failure = "continue"
  path       = "DIR/written/once"
  content    = "once"
  postcondition {
    condition     = path("DIR/go").exists && self.path == var.plain
    error_message = "It is not ${var.plain} or ${var.odd} or ${var.lines}."
  }
}
step "command" "stops" {
  when        = var.stops
  argv        = ["sh", "-c", "test -e DIR/go || { ${local.echo} >&2; exit 1; }"]
  environment = local.env
  stdin       = local.all
}
output "told" {
  value     = "${step.says.stdout} ${step.tells.body}"
  sensitive = true
}
output "not_marked" { value = local.all }
output "echoed" { value = step.says.stdout }
`

// Sensitive values are searched for, in every form, in all that a run prints,
// sends or leaves.
func TestSecretsStaySecret(t *testing.T) {
	s := newScene(t)
	server := echo(t)
	sent := collector(t, s)
	s.write(strings.ReplaceAll(leaky, "HTTP", server))
	for name, value := range given {
		s.env = append(s.env, "RUNBOOK_VAR_"+name+"="+value)
	}
	must(t, os.Mkdir(s.path("written"), 0o755))
	must(t, os.Mkdir(s.path("seen"), 0o755))
	seen := spy{scene: s}

	seen.run("plan", program.Done, "plan", s.book)
	seen.run("plan-json", program.Done, "plan", "--json", s.book)
	seen.run("plan-out", program.Done, "plan", s.book, "--out", s.path("seen/plan"))
	s.env = append(s.env, "RUNBOOK_LOG=trace")
	seen.run("run", program.Stopped, "run", s.path("seen/plan"), "--yes", "--log-file", s.path("seen/log"))
	id := s.newest()
	seen.look("stopped")
	seen.run("resume-json", program.Stopped, "resume", "--json", "--log-file", s.path("seen/log-json"), "--log-format", "json")
	must(t, os.WriteFile(s.path("go"), nil, 0o600))
	seen.run("resume", program.Done, "resume", "--log-file", s.path("seen/log"))
	seen.look("finished")
	seen.run("rollback", program.Done, "rollback", id, "--yes")
	seen.look("rolled back")
	seen.run("run-json", program.Done, "run", "--json", s.book, "--yes", "--log-file", s.path("seen/log-json"), "--log-format", "json")
	seen.look("again")
	if sent.Load() == 0 {
		t.Error("nothing was sent to the collector of traces")
	}
	looked := seen.search(s.path("seen")) + seen.search(s.state())
	tally.Count(t, "files and outputs of runs with secrets, searched for every form of each", looked)
}

func (s *scene) path(name string) string { return filepath.Join(s.dir, name) }

// newest is the newest run.
func (s *scene) newest() string {
	s.Helper()
	var list struct{ Runs []struct{ ID string } }
	must(s.T, json.Unmarshal([]byte(s.runbook(program.Done, "list", "--json").Stdout), &list))
	return list.Runs[0].ID
}

// spy keeps everything that is printed.
type spy struct{ *scene }

func (y spy) run(name string, code int, args ...string) {
	y.Helper()
	e := y.runbook(code, args...)
	must(y.T, os.WriteFile(y.path("seen/"+name+".out"), []byte(e.Stdout), 0o600))
	must(y.T, os.WriteFile(y.path("seen/"+name+".err"), []byte(e.Stderr), 0o600))
}

// look shows the newest run in every way there is.
func (y spy) look(when string) {
	y.Helper()
	for name, args := range map[string][]string{
		"list": {"list"}, "list-json": {"list", "--json"}, "show": {"show"}, "show-json": {"show", "--json"}, "show-log": {"show", "--log"},
		"show-log-json": {"show", "--log", "--json"}, "report": {"report"}, "report-html": {"report", "--html"},
	} {
		y.run(when+" "+name, program.Done, args...)
	}
}

// search looks for the secrets in every file below a directory and returns how
// many that were.
func (y spy) search(dir string) int {
	y.Helper()
	looked := 0
	must(y.T, filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		text, err := os.ReadFile(path)
		must(y.T, err)
		looked++
		if at := found(text); at != "" {
			y.Errorf("%s holds %s", path, at)
		}
		return nil
	}))
	return looked
}

// found says which secret is in a text, in which form, and what is around it.
func found(text []byte) string {
	flat := squeeze(string(text))
	for name, secret := range given {
		for form, shape := range shapesOf(secret) {
			shape = squeeze(shape)
			if at := strings.Index(flat, shape); at >= 0 {
				return fmt.Sprintf("%s, %s: %q", name, form, flat[max(0, at-60):min(len(flat), at+len(shape)+60)])
			}
		}
	}
	return ""
}

// squeeze is a text without what may have been put in to break its lines, and
// without what a journal or a page has between its pieces.
func squeeze(text string) string {
	return strings.NewReplacer(" ", "", "\n", "", "\r", "", "\t", "", `\n`, "", "│", "", "|", "").Replace(text)
}

// shapesOf are the forms in which a secret may get out. They are made here anew,
// not with what the product has for it.
func shapesOf(secret string) map[string]string {
	inJSON, _ := json.Marshal(secret) // a string always can be
	shapes := map[string]string{
		"plain": secret, "quoted": strings.Trim(strconv.Quote(secret), `"`), "JSON": strings.Trim(string(inJSON), `"`),
		"hexadecimal": hex.EncodeToString([]byte(secret)), "upper hexadecimal": strings.ToUpper(hex.EncodeToString([]byte(secret))),
		"query": url.QueryEscape(secret), "URL": url.PathEscape(secret), "HTML": html.EscapeString(secret),
		"shell":              strings.ReplaceAll(secret, "'", `'\''`),
		"base64":             strings.TrimRight(base64.StdEncoding.EncodeToString([]byte(secret)), "="),
		"base64 for URLs":    strings.TrimRight(base64.URLEncoding.EncodeToString([]byte(secret)), "="),
		"base64 with a name": strings.TrimRight(base64.StdEncoding.EncodeToString([]byte("operator:"+secret)), "="),
	}
	for i, line := range strings.Split(secret, "\n") {
		if len(line) > 20 && !strings.HasPrefix(line, "-----") {
			shapes[fmt.Sprintf("line %d", i)] = line
		}
	}
	if len(secret) > 12 {
		shapes["its beginning"], shapes["its end"] = secret[:10], secret[len(secret)-10:]
	}
	if strings.HasPrefix(secret, "-----") { // as any such thing begins and ends
		delete(shapes, "its beginning")
		delete(shapes, "its end")
	}
	return shapes
}

// echo is a server that says all that it is told.
func echo(t *testing.T) string {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, "/refused") {
			w.WriteHeader(http.StatusForbidden)
		}
		body, _ := io.ReadAll(r.Body) // what there is of it
		fmt.Fprintf(w, "%s %s\n%v\n%s\n", r.Method, r.URL, r.Header, body)
		if strings.HasPrefix(r.URL.Path, "/refused") { // an error shows 500 bytes of it
			fmt.Fprintf(w, "%s%s\n", strings.Repeat("-", 100), given["plain"])
		}
	}))
	t.Cleanup(server.Close)
	return server.URL
}

// collector takes traces and keeps them beside what is printed.
func collector(t *testing.T, s *scene) *atomic.Int64 {
	var sent atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err == nil && r.Header.Get("Content-Encoding") == "gzip" {
			var zip *gzip.Reader
			if zip, err = gzip.NewReader(bytes.NewReader(body)); err == nil {
				body, err = io.ReadAll(zip)
			}
		}
		if err == nil {
			err = os.WriteFile(s.path(fmt.Sprintf("seen/spans-%d", sent.Add(1))), body, 0o600)
		}
		if err != nil {
			t.Error(err)
		}
	}))
	t.Cleanup(server.Close)
	s.env = append(s.env, "OTEL_EXPORTER_OTLP_ENDPOINT="+server.URL)
	return &sent
}
