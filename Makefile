# make        set this machine up and build bin/runbook
# make demo   lose an etcd and bring it back, in front of your eyes
# make test   run every test, on real hosts with a real systemd
# make bench  measure it, beside the floor of what it has to do
# make lint   what a reviewer shouldn't have to look for
#
# Needs Go and a Debian or Ubuntu. Tests and demo boot hosts and so need root:
# make asks for it through sudo where it isn't run as root.

GO      ?= go
VERSION := $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)
LDFLAGS := -X main.version=$(VERSION)

export CGO_ENABLED ?= 0
export GOFLAGS     ?= -trimpath -buildvcs=false

ifeq ($(shell id -u),0)
AS_ROOT :=
else
AS_ROOT := sudo -E env PATH=$(PATH)
endif
EXEC_AS_ROOT = $(if $(AS_ROOT),-exec "$(AS_ROOT)")

.PHONY: all setup build tools test lint bench demo clean

all: setup build tools

setup:
	@test/setup

build:
	$(GO) build -ldflags '$(LDFLAGS)' -o bin/runbook ./cmd/runbook

# What the tests need beside the product. The first time takes a minute or two.
tools:
	@$(GO) run ./test/binaries/build etcd etcd35 etcd36 etcdctl etcdutl staticcheck

test: setup build tools
	CGO_ENABLED=1 $(GO) test -race -timeout 10m $(EXEC_AS_ROOT) ./engine/...
	$(GO) test -timeout 20m $(EXEC_AS_ROOT) $$($(GO) list ./... | grep -v '^runbook/engine\b')

lint: tools
	@unformatted=$$(gofmt -l .) && \
		if [ -n "$$unformatted" ]; then echo "gofmt: $$unformatted"; exit 1; fi
	$(GO) vet ./...
	.cache/bin/staticcheck ./...
	$(GO) test ./test/imports
	$(GO) mod tidy -diff
	for m in test/tools test/tools/etcd35 test/tools/etcd36; do (cd $$m && $(GO) mod tidy -diff) || exit 1; done

bench: build
	@$(GO) run ./test/bench

demo: setup build tools
	@$(GO) build -o bin/demo ./test/demo
	@$(AS_ROOT) bin/demo

clean:
	rm -rf bin .cache
