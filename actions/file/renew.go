package file

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"net"
	"strings"
	"time"

	"github.com/zclconf/go-cty/cty"
	"golang.org/x/sys/unix"

	"runbook/actions/file/pki"
	"runbook/engine"
)

var renewSpec = engine.Spec{
	Name: "certificate_renew",
	Doc: "Issues a certificate anew, of a PEM file or of the client in a kubeconfig such as admin.conf, with its CA's key, which has to be on the host. " +
		"Key, subject, names and usages stay what they are; the new one begins five minutes ago and never outlives its CA. " +
		"Where that CA has signed the certificate, it fits its key, has the names and is valid for longer than renew_before, the step has nothing to do. " +
		"One of kubeadm's that is gone or can't be read is made anew by kubeadm's rules, if its key is still there. " +
		"The file is replaced in one atomic operation, with the mode and owner that it had. The old one is kept beside it as `.NAME.replaced-RUN`, and undoing the step brings it back. " +
		"No key is changed, shown or recorded. Nothing is restarted: etcd and the API server read their certificates again by themselves; whoever uses a kubeconfig has to be restarted.",
	Attributes: []engine.Attribute{
		{Name: "path", Type: cty.String, Required: true, Check: checkPath,
			Doc: "Absolute path of the certificate or kubeconfig. It must not be a symbolic link."},
		{Name: "key", Type: cty.String, Check: checkPath,
			Doc: "The certificate's key. Without it, the one in the file itself, or the file of the same name that ends with .key."},
		{Name: "ca_cert", Type: cty.String, Check: checkPath,
			Doc: "The CA's certificate. Without it, where kubeadm has it: ca.crt beside the certificate (front-proxy-ca.crt and etcd/ca.crt for those that need them), pki/ca.crt beside a kubeconfig, or /etc/kubernetes/pki/ca.crt."},
		{Name: "ca_key", Type: cty.String, Check: checkPath, Doc: "The CA's key. Without it, the file beside ca_cert of the same name that ends with .key."},
		{Name: "days", Type: cty.Number, Default: cty.NumberIntVal(365), Check: checkDays, Doc: "How many days the new certificate is valid for."},
		{Name: "renew_before", Type: cty.Number, Default: cty.NumberIntVal(30), Check: checkDaysOrNone,
			Doc: "How many days before its end a certificate is issued anew."},
		{Name: "add_dns_names", Type: cty.List(cty.String), Check: checkDNSNames, Doc: "DNS names that the certificate has to have beside those that it has."},
		{Name: "add_ip_addresses", Type: cty.List(cty.String), Check: checkAddresses, Doc: "Likewise IP addresses."},
	},
	Results: []engine.Attribute{
		{Name: "path", Type: cty.String, Doc: "The file's path."},
		{Name: "kept", Type: cty.String, Doc: "Where the old file is kept; null where nothing was there or nothing had to be done."},
		{Name: "subject", Type: cty.String, Doc: "Whose certificate it is, such as CN=etcd-1."},
		{Name: "not_after", Type: cty.String, Doc: "Until when it is valid, as in 2027-11-30T20:15:00Z."},
	},
	Example: `step "certificate_renew" "etcd_server" {
  path             = "/etc/kubernetes/pki/etcd/server.crt"
  add_ip_addresses = ["10.0.0.11"]
}`,
	New: func() engine.Action { return new(renew) },
}

type renew struct {
	Path        string   `cty:"path"`
	Key         *string  `cty:"key"`
	CACert      *string  `cty:"ca_cert"`
	CAKey       *string  `cty:"ca_key"`
	Days        int64    `cty:"days"`
	RenewBefore int64    `cty:"renew_before"`
	DNSNames    []string `cty:"add_dns_names"`
	Addresses   []string `cty:"add_ip_addresses"`
}

var _ engine.Action = (*renew)(nil)

const day = 24 * time.Hour

// maxDays is beyond what X.509 can write a year of.
const maxDays = 100 * 366

func checkDays(v cty.Value) error {
	if n, _ := v.AsBigFloat().Float64(); n < 1 || n > maxDays || n != float64(int64(n)) {
		return errors.New("a whole number of days is needed, 1 or more, and no more than a century of them")
	}
	return nil
}

func checkDaysOrNone(v cty.Value) error {
	if v.AsBigFloat().Sign() == 0 {
		return nil
	}
	return checkDays(v)
}

func checkDNSNames(v cty.Value) error {
	for _, name := range v.AsValueSlice() {
		if name.IsNull() || name.AsString() == "" || strings.ContainsFunc(name.AsString(), func(r rune) bool { return r <= ' ' || r > '~' }) {
			return errors.New("a DNS name is needed, in ASCII")
		}
	}
	return nil
}

func checkAddresses(v cty.Value) error {
	for _, address := range v.AsValueSlice() {
		if address.IsNull() || net.ParseIP(address.AsString()) == nil {
			return errors.New("an IP address is needed, without a port")
		}
	}
	return nil
}

func (a *renew) further() pki.Names {
	names := pki.Names{DNS: a.DNSNames}
	for _, address := range a.Addresses {
		names.IPs = append(names.IPs, net.ParseIP(address))
	}
	return names
}

func (a *renew) valid() time.Duration { return time.Duration(a.Days) * day }

// sourceOf tells where the content that will be at a path is now.
type sourceOf func(context.Context, string) (string, error)

// read reads a small file, which may be absent.
func (at sourceOf) read(ctx context.Context, path, attribute string) ([]byte, error) {
	now, err := at(ctx, path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	f, err := openRegular(now)
	if errors.Is(err, unix.ELOOP) {
		err = engine.Errorf(path, "is a symbolic link")
	}
	if e := (*engine.Error)(nil); errors.As(err, &e) {
		return nil, e.WithHint("Name the file itself.").WithAttribute(attribute)
	}
	if err != nil {
		return nil, err
	}
	defer f.Close() // only read from
	const most = 4 << 20
	data, err := io.ReadAll(io.LimitReader(f, most+1))
	if err == nil && len(data) > most {
		err = errors.New("it is too large to be a certificate or a key")
	}
	if err != nil {
		return nil, engine.Errorf(path, "%w", err).WithAttribute(attribute)
	}
	return data, nil
}
