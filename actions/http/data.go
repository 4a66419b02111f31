package http

import (
	"context"
	nethttp "net/http"
	"time"

	"runbook/engine"
)

var dataSpec = engine.DataSpec{
	Name: "http",
	Doc: "What a URL answers to a GET when the run begins. Whatever status it answers with is no error; that it doesn't answer is one. " +
		"Redirections are followed.",
	Attributes: connectionAttributes(),
	Results:    answerResults(),
	Example: `data "http" "release" {
  url = "https://mirror.example.com/etcd/latest.json"
}`,
	New: func() engine.DataSource { return new(data) },
}

type data struct {
	URL     string            `cty:"url"`
	Headers map[string]string `cty:"headers"`
	CA      *string           `cty:"ca"`
	Cert    *string           `cty:"cert"`
	Key     *string           `cty:"key"`
	Timeout int64             `cty:"timeout_seconds"`
}

var _ engine.DataSource = (*data)(nil)

// Read implements engine.DataSource.
func (d *data) Read(ctx context.Context, _ engine.World) (engine.Result, error) {
	c := connection{url: d.URL, ca: d.CA, cert: d.Cert, key: d.Key, timeout: time.Duration(d.Timeout) * time.Second}
	got, err := c.send(ctx, nethttp.MethodGet, d.Headers, "", true)
	if err != nil {
		return nil, err
	}
	return got.results(), nil
}
