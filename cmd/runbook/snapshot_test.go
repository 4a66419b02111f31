package main

import (
	"bytes"
	"context"
	"io"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/server/v3/embed"
	"go.etcd.io/etcd/server/v3/etcdserver/api/v3client"
)

// fixtureKeys are what an etcd of scripts holds.
var fixtureKeys = []string{
	"/registry/pods/default/a", "/registry/pods/default/b", "/registry/pods/kube-system/c",
	"/registry/deployments/default/a", "/registry/leases/kube-system/a",
}

// makeSnapshot writes a snapshot of an etcd that lives for just as long:
// snapshot FILE.
func makeSnapshot(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: snapshot FILE")
	}
	dir, err := os.MkdirTemp("", "etcd")
	ts.Check(err)
	defer os.RemoveAll(dir)
	cfg := embed.NewConfig()
	cfg.Dir = filepath.Join(dir, "data")
	cfg.LogLevel, cfg.LogOutputs = "fatal", []string{filepath.Join(dir, "log")}
	cfg.ListenPeerUrls = nil
	cfg.ListenClientUrls = []url.URL{{Scheme: "unix", Path: filepath.Join(dir, "c")}}
	cfg.AdvertiseClientUrls = cfg.ListenClientUrls
	cfg.UnsafeNoFsync = true
	server, err := embed.StartEtcd(cfg)
	ts.Check(err)
	defer server.Close()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	select {
	case <-server.Server.ReadyNotify():
	case <-ctx.Done():
		ts.Fatalf("etcd isn't ready: %v", ctx.Err())
	}
	text, err := filledSnapshot(ctx, v3client.New(server.Server))
	ts.Check(err)
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), text, 0o600))
}

func filledSnapshot(ctx context.Context, cli *clientv3.Client) ([]byte, error) {
	for _, key := range fixtureKeys {
		if _, err := cli.Put(ctx, key, "the value of "+key); err != nil {
			return nil, err
		}
	}
	stream, err := cli.Snapshot(ctx)
	if err != nil {
		return nil, err
	}
	defer stream.Close() // read to its end, or in vain
	return io.ReadAll(stream)
}

// damage flips one bit of a value: damage FILE.
func damage(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: damage FILE")
	}
	path := ts.MkAbs(args[0])
	text, err := os.ReadFile(path)
	ts.Check(err)
	at := bytes.LastIndex(text, []byte("the value of "))
	if at < 0 {
		ts.Fatalf("%s holds no value", args[0])
	}
	text[at] ^= 1
	ts.Check(os.WriteFile(path, text, 0o600))
}
