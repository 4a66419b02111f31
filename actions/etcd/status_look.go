package etcd

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/url"
	"os"
	"sync"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"runbook/engine"
)

// greetsWithin bounds what etcd does at once if it serves at all: it takes a
// connection, and has a leader. One that hasn't started up yet leaves connections
// lying, and would use up all the time that an answer gets.
const greetsWithin = 800 * time.Millisecond

// seen is what one endpoint says.
type seen struct {
	status  *clientv3.StatusResponse // nil where it isn't reachable
	members int
	keys    int64
	err     error // why it isn't healthy
}

// lookAtAll asks all endpoints side by side.
func (c connection) lookAtAll(ctx context.Context) []seen {
	all := make([]seen, len(c.endpoints))
	var asked sync.WaitGroup
	for i, endpoint := range c.endpoints {
		asked.Go(func() {
			if all[i].err = c.greet(ctx, endpoint); all[i].err == nil {
				all[i].err = c.at(ctx, endpoint, all[i].look)
			}
		})
	}
	asked.Wait()
	return all
}

// greet reports what keeps an endpoint from taking a connection. What else is
// wrong with it the client says better.
func (c connection) greet(ctx context.Context, endpoint string) error {
	u, err := url.Parse(endpoint)
	if err != nil || u.Port() == "" {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, min(greetsWithin, c.timeout))
	defer cancel()
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", u.Host)
	if err != nil {
		return notHealthy(endpoint, err)
	}
	defer conn.Close() // it was for a greeting alone
	if u.Scheme == "https" {
		err = c.shakeHands(ctx, conn, u.Hostname())
	} else {
		err = hail(ctx, conn)
	}
	if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, os.ErrDeadlineExceeded) {
		return engine.Errorf(endpoint, "etcd is not healthy: it takes connections and leaves them without an answer").
			WithHint("It may be starting still, or hang. See its log.").WithAttribute("endpoints")
	}
	return nil
}

func (c connection) shakeHands(ctx context.Context, conn net.Conn, name string) error {
	conf, err := c.tlsConfig()
	if err != nil {
		return err
	}
	if conf == nil {
		conf = new(tls.Config)
	}
	conf.ServerName = name
	return tls.Client(conn, conf).HandshakeContext(ctx)
}

// hail waits for any answer to a request, be it the end of the connection.
func hail(ctx context.Context, conn net.Conn) error {
	deadline, _ := ctx.Deadline()
	if err := conn.SetDeadline(deadline); err != nil {
		return err
	}
	if _, err := io.WriteString(conn, "GET /version HTTP/1.0\r\n\r\n"); err != nil {
		return err
	}
	_, err := conn.Read(make([]byte, 1))
	return err
}

// look asks one endpoint.
func (s *seen) look(ctx context.Context, cli *clientv3.Client, endpoint string) error {
	status, err := cli.Status(ctx, endpoint)
	if err != nil {
		return notHealthy(endpoint, err)
	}
	s.status = status
	if status.Leader == 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, greetsWithin)
		defer cancel()
	}
	if _, err := askHealth(ctx, cli, endpoint); err != nil {
		return err
	}
	list, err := cli.MemberList(ctx)
	if err != nil {
		return notHealthy(endpoint, err)
	}
	count, err := cli.Get(ctx, "\x00", clientv3.WithFromKey(), clientv3.WithCountOnly())
	if err != nil {
		return notHealthy(endpoint, err)
	}
	s.members, s.keys = len(list.Members), count.Count
	return nil
}

// add adds what was seen to the data source's result.
func (s seen) add(res engine.Result) {
	if s.status != nil {
		res["reachable"], res["version"], res["revision"] = true, s.status.Version, s.status.Header.Revision
	}
	if s.err != nil {
		unhealthy(res, s.err)
		return
	}
	res["members"], res["keys"] = s.members, s.keys
}
