package etcd

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"path/filepath"
	"time"

	"go.etcd.io/etcd/server/v3/embed"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

const (
	// drillPeerURL is written into the restored data and nothing more: the
	// drill's etcd has no other members to listen to.
	drillPeerURL = "http://127.0.0.1:1"
	// drillSocket is all that it listens on, in the drill's directory, which
	// is the working directory. Only its owner can go in there.
	drillSocket = "unix://client.sock"
	// drillPatience is how long etcd may take to become ready. It reads all
	// keys first, and may have to wait for the disk.
	drillPatience = 10 * time.Minute
)

// boot starts etcd on the restored data and waits until it answers a read that
// needs a leader.
func (d *drillWork) boot(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, drillPatience)
	defer cancel()
	var err error
	if d.etcd, err = embed.StartEtcd(d.config()); err != nil {
		return fmt.Errorf("etcd doesn't start: %w", err)
	}
	select {
	case <-d.etcd.Server.ReadyNotify():
	case err := <-d.etcd.Err():
		return fmt.Errorf("etcd ended: %w", err)
	case <-d.etcd.Server.StopNotify():
		return errors.New("etcd ended before it was ready")
	case <-ctx.Done():
		return fmt.Errorf("etcd isn't ready after %v", drillPatience)
	}
	// Whose passwords nobody knows here: only the drill can reach this etcd, and
	// its data is about to be thrown away.
	if auth := d.etcd.Server.AuthStore(); auth.IsAuthEnabled() {
		auth.AuthDisable()
	}
	cli, err := connection{timeout: drillPatience}.dial(drillSocket)
	if err != nil {
		return err
	}
	defer cli.Close() // its error is the context's
	if _, err := cli.Get(ctx, "health"); err != nil {
		return fmt.Errorf("etcd doesn't answer: %w", err)
	}
	return nil
}

// config is that of a member that knows nobody. It listens for no peers.
func (d *drillWork) config() *embed.Config {
	cfg := embed.NewConfig()
	cfg.Name, cfg.Dir = *d.restore.Name, filepath.Join(d.order.Dir, "etcd")
	cfg.ListenPeerUrls = nil
	cfg.AdvertisePeerUrls = mustURLs(drillPeerURL)
	cfg.InitialCluster = cfg.Name + "=" + drillPeerURL
	cfg.InitialClusterToken = "a drill's" // only for a new cluster, which this isn't
	cfg.ListenClientUrls = mustURLs(drillSocket)
	cfg.AdvertiseClientUrls = cfg.ListenClientUrls
	// What etcd holds to be fatal panics: its words are then the child's last.
	log := zap.New(zapcore.NewNopCore(), zap.WithFatalHook(zapcore.WriteThenPanic))
	cfg.ZapLoggerBuilder = embed.NewZapLoggerBuilder(log)
	return cfg
}

func mustURLs(text string) []url.URL {
	u, err := url.Parse(text)
	if err != nil {
		panic(err) // a constant's
	}
	return []url.URL{*u}
}
