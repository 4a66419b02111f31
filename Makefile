# make        set this machine up and build bin/runbook
# make demo   lose an etcd and bring it back, in front of your eyes
# make test   run every test but those of the lab, on real hosts with a real systemd
# make torture  try to break every promise in every way there is a test for, in an hour and a half
# make race   the tests once more, with the race detector
# make bench  measure it, beside the floor of what it has to do
# make lint   what a reviewer shouldn't have to look for
#
# make lab       boot a Kubernetes control plane to play with, see docs/lab.md
# make test-lab  run the tests that need one
#
# Needs Go and a Debian or Ubuntu. Tests and demo boot hosts and so need root:
# make asks for it through sudo where it isn't run as root.

GO      ?= go
VERSION := $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)
LDFLAGS := -X main.version=$(VERSION)

export CGO_ENABLED ?= 0
export GOFLAGS     ?= -trimpath -buildvcs=false
# Where the lab keeps what it has built, for all checkouts.
export RUNBOOK_LAB_CACHE ?= $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/runbook-lab

ifeq ($(shell id -u),0)
AS_ROOT :=
else
AS_ROOT := sudo -E env PATH=$(PATH)
endif
EXEC_AS_ROOT = $(if $(AS_ROOT),-exec "$(AS_ROOT)")

# The packages whose tests need the lab.
LAB := ^runbook/test/(kubehost|e2e/lab)\b

.PHONY: all setup build tools test torture race lint bench bench-restore demo clean \
	setup-lab lab-tools lab lab-shell lab-down test-lab bench-lab clean-lab

all: setup build tools

setup:
	@test/setup

build:
	$(GO) build -ldflags '$(LDFLAGS)' -o bin/runbook ./cmd/runbook

# What the tests need beside the product. The first time takes some minutes, most
# of them for the API server of Kubernetes.
tools:
	@$(GO) run ./test/binaries/build etcd etcd35 etcd36 etcdctl etcdutl staticcheck kube-apiserver

test: setup build tools
	CGO_ENABLED=1 $(GO) test -race -timeout 10m $(EXEC_AS_ROOT) ./engine/...
	$(GO) test -timeout 40m $(EXEC_AS_ROOT) $$($(GO) list ./... | grep -Ev '^runbook/engine\b|$(LAB)')

# Everything that the tests know to try, of which `make test` and `make test-lab` try
# a selection.
torture: setup-lab build tools lab-tools
	@$(GO) build -o bin/torture ./test/torture
	@$(AS_ROOT) bin/torture

# The race detector over all tests but those of the lab. It finds races in what runs
# in the tests' own processes.
race: setup build tools
	CGO_ENABLED=1 $(GO) test -race -timeout 60m $(EXEC_AS_ROOT) $$($(GO) list ./... | grep -Ev '$(LAB)')

lint: tools
	@unformatted=$$(gofmt -l .) && \
		if [ -n "$$unformatted" ]; then echo "gofmt: $$unformatted"; exit 1; fi
	$(GO) vet ./...
	GOARCH=arm64 $(GO) vet ./...
	.cache/bin/staticcheck ./...
	$(GO) test ./test/imports
	@$(GO) run ./test/vulncheck ./...
	$(GO) mod tidy -diff
	for m in test/tools test/tools/etcd35 test/tools/etcd36 test/tools/govulncheck; do (cd $$m && $(GO) mod tidy -diff) || exit 1; done
	cd test/lab && $(GO) mod tidy -diff && $(GO) vet ./images/... && ../../.cache/bin/staticcheck ./images/...

bench: build
	@$(GO) run ./test/bench
	@$(GO) build -o bin/bench-restore ./test/bench/restore
	@$(AS_ROOT) bin/bench-restore

# The restore alone, of a small and a large snapshot. It takes 30 GB and a while.
bench-restore: build
	@$(GO) build -o bin/bench-restore ./test/bench/restore
	@$(AS_ROOT) bin/bench-restore -sizes 1.2,8

demo: setup build tools
	@$(GO) build -o bin/demo ./test/demo
	@$(AS_ROOT) bin/demo

setup-lab:
	@test/setup lab

# Kubernetes takes ten minutes the first time.
lab-tools:
	@$(GO) run ./test/binaries/build lab

lab: setup-lab build lab-tools
	@$(GO) build -o bin/lab ./test/kubehost/lab
	@$(AS_ROOT) bin/lab up bin/runbook

lab-shell:
	@$(AS_ROOT) bin/lab shell

lab-down:
	@$(AS_ROOT) bin/lab down

test-lab: setup-lab build lab-tools
	$(GO) test -p 1 -timeout 40m $(EXEC_AS_ROOT) $$($(GO) list ./... | grep -E '$(LAB)')

# A recovery by runbook beside one by hand.
bench-lab: setup-lab build lab-tools
	@$(GO) build -o bin/bench-lab ./test/bench/lab
	@$(AS_ROOT) bin/bench-lab

# What the lab keeps between runs. The next one builds Kubernetes again.
clean-lab:
	$(AS_ROOT) rm -rf $(RUNBOOK_LAB_CACHE)

clean:
	rm -rf bin .cache
