# OneMind. `make` lists the targets.
#
# Two tools are needed: Go and Node. `make test` also needs Postgres, PgBouncer,
# Redis, HAProxy, a Chromium and, for the race detector, a C compiler; `make deps`
# installs all but the last on Debian.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.NOTPARALLEL:

VERSION := $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
LDFLAGS := -s -w -X main.version=$(VERSION)
GOLANGCI := github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.15.0

# The version comes from LDFLAGS. Go's own stamp would stop the build in a clone
# that belongs to another user.
export GOFLAGS := $(filter-out -buildvcs%,$(GOFLAGS)) -buildvcs=false
export npm_config_fund := false
export npm_config_audit := false
export npm_config_update_notifier := false

GO_DIRS := $(wildcard cmd internal bench cluster deploy)
GO_PACKAGES := $(GO_DIRS:%=./%/...)

# A folder is newer than the page when a file in it was removed.
UI_SOURCES := $(shell find ui -mindepth 1 -name node_modules -prune -o -print)
PAGE := internal/web/dist/index.html
UI_READY := ui/node_modules/.ready
E2E_READY := e2e/node_modules/.ready

.PHONY: help
help: ## List the targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / {printf "  make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: run
run: build ## Set up, build and start on http://localhost:8080
	bin/onemind serve

.PHONY: cluster
cluster: build deps ## Start N=3 instances with Postgres, PgBouncer, Redis and HAProxy on PORT=8080
	go run ./cluster -n $(or $(N),3) -port $(or $(PORT),8080)

.PHONY: build
build: ui ## Leave bin/onemind with the web app inside
	go build -trimpath -ldflags '$(LDFLAGS)' -o bin/onemind ./cmd/onemind

.PHONY: ui
ui: tools $(PAGE) ## Build the web app into internal/web/dist

.PHONY: test
test: tools deps format vet test-go test-ui e2e ## Set up and run every test

.PHONY: check
check: lint test ## Everything a change has to pass: lint and test

.PHONY: lint
lint: ui $(E2E_READY) ## Run the linters over Go, the web app and the browser tests
	go run $(GOLANGCI) run $(GO_PACKAGES)
	cd ui && npm run check
	cd e2e && npm run check

.PHONY: bench
bench: build ## Measure the overhead of a call
	go run ./bench

.PHONY: e2e
e2e: build deps $(E2E_READY) ## Run the browser tests and the tests with the providers' own clients
	cd e2e && npm test
	cd e2e && npm run test:sdk
	cd e2e/clients && go vet ./... && go test -count=1 ./...

.PHONY: deps
deps: ## Install what the tests and the cluster need (Debian's Postgres, PgBouncer, Redis, HAProxy, Chromium), if missing
	@.ci/deps

.PHONY: clean
clean: ## Remove what was built and installed here (data/ stays)
	rm -rf bin ui/node_modules e2e/node_modules e2e/results
	find internal/web/dist -mindepth 1 ! -name .gitkeep -delete 2>/dev/null || true

# The steps of `make test`.

.PHONY: tools
tools:
	@command -v go >/dev/null || { echo "Go is missing: install 1.26 or newer (https://go.dev/dl)." >&2; exit 1; }
	@command -v npm >/dev/null || { echo "Node is missing: install 20.19 or newer with npm (https://nodejs.org)." >&2; exit 1; }

.PHONY: format
format:
	@unformatted="$$("$$(go env GOROOT)/bin/gofmt" -l $(GO_DIRS))"; \
	if [ -n "$$unformatted" ]; then echo "gofmt would change:" >&2; echo "$$unformatted" >&2; exit 1; fi

.PHONY: vet
vet: ui # the page is embedded, so that it has to be there
	go vet $(GO_PACKAGES)

# The tests of the program itself start whole installations and hold them to times
# that people notice: they have the machine for themselves.
.PHONY: test-go
test-go: ui deps
	@race=-race; \
	if ! command -v "$$(go env CC)" >/dev/null; then \
		race=; echo "No C compiler ($$(go env CC)): the race detector is left out. Install gcc to test with it." >&2; \
	else export CGO_ENABLED=1; fi; \
	for packages in "$(filter-out ./cmd/...,$(GO_PACKAGES))" ./cmd/...; do \
		echo "go test $$race -timeout 30m $$packages"; go test $$race -timeout 30m $$packages; \
	done

.PHONY: test-ui
test-ui: $(UI_READY)
	cd ui && npm test

# Set-up that is done again only when what it came from has changed.

$(UI_READY): ui/package-lock.json $(wildcard ui/.npmrc)
	cd ui && npm ci
	@touch $@

$(E2E_READY): e2e/package-lock.json e2e/.npmrc
	cd e2e && PLAYWRIGHT_SKIP_BROWSER_DOWNLOAD=1 npm ci
	@touch $@

$(PAGE): $(UI_READY) $(UI_SOURCES)
	cd ui && npm run build
	@touch $@
