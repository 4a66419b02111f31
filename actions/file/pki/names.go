package pki

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"fmt"
	"net"
	"slices"
	"strings"
)

// Names are those that a certificate is good for.
type Names struct {
	DNS []string
	IPs []net.IP
}

// NamesOf are a certificate's.
func NamesOf(c *x509.Certificate) Names { return Names{c.DNSNames, c.IPAddresses} }

// Without are the names that others lack.
func (n Names) Without(others Names) (missing Names) {
	for _, name := range n.DNS {
		if !slices.ContainsFunc(others.DNS, func(o string) bool { return strings.EqualFold(o, name) }) {
			missing.DNS = append(missing.DNS, name)
		}
	}
	for _, ip := range n.IPs {
		if !slices.ContainsFunc(others.IPs, ip.Equal) {
			missing.IPs = append(missing.IPs, ip)
		}
	}
	return missing
}

// And are both.
func (n Names) And(others Names) Names {
	more := others.Without(n)
	return Names{slices.Concat(n.DNS, more.DNS), slices.Concat(n.IPs, more.IPs)}
}

// Empty reports whether there are none.
func (n Names) Empty() bool { return len(n.DNS)+len(n.IPs) == 0 }

func (n Names) String() string {
	all := slices.Clone(n.DNS)
	for _, ip := range n.IPs {
		all = append(all, ip.String())
	}
	if len(all) == 0 {
		return "no names"
	}
	return strings.Join(all, ", ")
}

// The kinds of names in the extension that hold them (RFC 5280, 4.2.1.6).
const (
	dnsName   = 2
	ipAddress = 7
)

// addedTo is the extension of a certificate that holds its names, with n's behind
// them; nil where there are none at all. What else it holds stays.
func (n Names) addedTo(old *x509.Certificate) (*pkix.Extension, error) {
	var all []asn1.RawValue
	e := pkix.Extension{Id: alternativeName}
	for _, has := range old.Extensions {
		if !has.Id.Equal(alternativeName) {
			continue
		}
		if e = has; n.Empty() {
			return &e, nil
		}
		if _, err := asn1.Unmarshal(e.Value, &all); err != nil {
			return nil, fmt.Errorf("its names: %w", err)
		}
	}
	more := n.Without(NamesOf(old))
	for _, name := range more.DNS {
		all = append(all, asn1.RawValue{Class: asn1.ClassContextSpecific, Tag: dnsName, Bytes: []byte(name)})
	}
	for _, ip := range more.IPs {
		if v4 := ip.To4(); v4 != nil {
			ip = v4
		}
		all = append(all, asn1.RawValue{Class: asn1.ClassContextSpecific, Tag: ipAddress, Bytes: ip})
	}
	if len(all) == 0 {
		return nil, nil
	}
	var err error
	if e.Value, err = asn1.Marshal(all); err != nil {
		return nil, fmt.Errorf("its names: %w", err)
	}
	return &e, nil
}
