# kumo: make, make run, make test. `make help` lists the rest.

GO      ?= go
VERSION := $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)
LDFLAGS := -s -w -X main.version=$(VERSION)
TOOLS   := .ci/bin
# How long each fuzz target runs.
FUZZTIME ?= 10s
# Which packages `make test`, `make bench` and `make fuzz` look at.
PKG ?= ./...

.DEFAULT_GOAL := build
.PHONY: build run demo test long check gen torture bench fuzz tools clean help

build: ## builds bin/kumo, a static binary
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags '$(LDFLAGS)' -o bin/kumo ./cmd/kumo

run: build ## builds and starts kumo: SMTP on 127.0.0.1:2525, HTTP on 127.0.0.1:8000
	bin/kumo serve --user "$$(id -un)"

demo: build ## starts kumo with a second one as the destination, sends mail, shows it arrive
	scripts/demo.sh

test: ## runs every test with the race detector (needs gcc)
	$(GO) test -race -shuffle=on $(PKG)

long: ## runs the tests with the figures of the promises: crashes, power cuts, floods
	KUMO_LONG=1 $(GO) test -race -timeout 2h -count=1 $(PKG)

check: tools ## formatting, lint, vet, and whether generated files are fresh
	.ci/check.sh

gen: ## writes the manual pages anew
	$(GO) test ./cmd/kumo -run '^TestManPages$$' -count=1 -rewrite

torture: build ## breaks SEED=1 POINTS=10000 spools and daemons, and looks whether mail is lost
	bin/kumo torture --seed $(or $(SEED),1) --points $(or $(POINTS),10000)

bench: ## runs the benchmarks of the hot paths
	$(GO) test -run '^$$' -bench . -benchmem $(PKG)

fuzz: ## runs each fuzz target for FUZZTIME
	.ci/fuzz.sh $(FUZZTIME) $(PKG)

tools: $(TOOLS)/gofumpt $(TOOLS)/golangci-lint

# The tools have a module of their own, so that their dependencies never become ours.
$(TOOLS)/%: .ci/tools/go.mod
	cd .ci/tools && GOBIN='$(CURDIR)/$(TOOLS)' $(GO) install tool
	@touch $(TOOLS)/gofumpt $(TOOLS)/golangci-lint

clean: ## removes what was built
	rm -rf bin $(TOOLS)

help: ## lists the targets
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/\1\t\2/p' $(MAKEFILE_LIST) | column -t -s '	'
