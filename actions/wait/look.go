package wait

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/coreos/go-systemd/v22/dbus"
)

// lookWithin bounds one look, so that one that hangs doesn't use all the time.
const lookWithin = 10 * time.Second

func (a *waitFor) lookTCP(ctx context.Context) (bool, string) {
	d := net.Dialer{Timeout: lookWithin}
	conn, err := d.DialContext(ctx, "tcp", *a.TCP)
	if err != nil {
		return false, err.Error()
	}
	_ = conn.Close() // that it was made is all that counts
	return true, "it accepts connections"
}

// lookURL reads the CA anew each time: an earlier step, or somebody, may only
// now be putting it there.
func (a *waitFor) lookURL(ctx context.Context) (bool, string) {
	conf, err := a.tls()
	if err != nil {
		return false, err.Error()
	}
	client := http.Client{
		Timeout:       lookWithin,
		Transport:     &http.Transport{TLSClientConfig: conf, DisableKeepAlives: true},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, *a.URL, nil)
	if err != nil {
		return false, err.Error()
	}
	resp, err := client.Do(req)
	if err != nil {
		return false, err.Error()
	}
	_ = resp.Body.Close() // its status is all that counts
	return resp.StatusCode == a.Status, resp.Status
}

func (a *waitFor) tls() (*tls.Config, error) {
	conf := &tls.Config{InsecureSkipVerify: a.Insecure}
	if a.CA == nil {
		return conf, nil
	}
	pem, err := os.ReadFile(*a.CA)
	if err != nil {
		return nil, err
	}
	conf.RootCAs = x509.NewCertPool()
	if !conf.RootCAs.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("%s holds no certificate in PEM", *a.CA)
	}
	return conf, nil
}

func (a *waitFor) lookPath(context.Context) (bool, string) {
	_, err := os.Lstat(*a.Path)
	switch {
	case err == nil:
		return !a.Absent, "it exists"
	case errors.Is(err, fs.ErrNotExist):
		return a.Absent, "it doesn't exist"
	}
	return false, err.Error()
}

func (a *waitFor) lookUnit(ctx context.Context) (bool, string) {
	ctx, cancel := context.WithTimeout(ctx, lookWithin)
	defer cancel()
	conn, err := dbus.NewSystemdConnectionContext(ctx)
	if err != nil {
		conn, err = dbus.NewSystemConnectionContext(ctx)
	}
	if err != nil {
		return false, "systemd doesn't answer: " + err.Error()
	}
	defer conn.Close()
	now, err := conn.GetUnitPropertiesContext(ctx, *a.Unit)
	if err != nil {
		return false, err.Error()
	}
	active, sub, load := now["ActiveState"], now["SubState"], now["LoadState"]
	if load == "not-found" {
		return a.State == "inactive", "systemd knows no such unit"
	}
	return active == a.State, fmt.Sprintf("it is %v (%v)", active, sub)
}
