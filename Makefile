# Everything here needs Go and nothing else, but for race (a C compiler) and
# clients (see .ci/clients). make help lists the targets.

export CGO_ENABLED = 0
# What is built for tests is what releases are built from, so that nothing is compiled twice.
export GOFLAGS := $(strip $(GOFLAGS) -trimpath)

GO       ?= go
PREFIX   ?= /usr/local
UNITDIR  ?= $(PREFIX)/lib/systemd/system
ZSHDIR   ?= $(PREFIX)/share/zsh/site-functions
VERSION  ?= $(or $(shell git describe --tags --match 'v[0-9]*' 2>/dev/null | sed 's/^v//'),0.1.0-dev)
FUZZTIME ?= 10s
BENCH    ?= .
SOAK     ?= 5m

LARGE_MESSAGES ?= 20000
LARGE_MB       ?= 500
LARGE_SECONDS  ?= 2
LARGE_PAIRS    ?= 5
LARGE_DIR      ?= /var/tmp
LARGE_FLAGS    ?=
SLOWFLUSH        ?= 2ms,8ms
SLOWFLUSH_ROUNDS ?= 5
OUTGOING         ?= 3000
OUTGOING_DIR     ?= /var/tmp
MODEL    ?= 5m
RESTARTS ?= 100
IMAP_MESSAGES ?= 50000
DKIM_LETTERS ?= 1000
FRESH_ROOT   ?= /
PLATFORMS    ?=
CONTAINER_ARCH ?=
POWERCUTS     ?= 10000
POWERCUT_SEED ?= 1
ERASURES      ?= 200
FLIPS         ?= 3000
FAULTS        ?= 1
SYSTEMS       ?= freebsd darwin
PACKAGES      ?= ./...

.PHONY: build run test race test-acme tls-table testssl page-shots lint fuzz bench bench-import bench-large bench-outgoing bench-slowflush clients network setup-fresh deb-fresh differential junk idle soak soak-queue soak-restart import-imap model faults powercut install install-files release release-twice platforms container container-check deb lint-deb vuln help

build: ## the binary, ./mailstead
	$(GO) build -o mailstead ./cmd/mailstead

run: build ## a whole mail server on loopback, two accounts, a letter in the inbox
	./mailstead local --welcome --account user1@example.test:pass1 --account user2@example.test:pass2

test: ## all tests, in under 5 minutes on 2 cores
	$(GO) test -timeout 5m ./...

race: export CGO_ENABLED = 1
race: ## the tests in short form with the race detector (needs a C compiler); vetted by lint
	$(GO) test -race -short -vet off -timeout 10m ./...

test-acme: ## certificates from pebble, an authority for tests, by all challenges (fetched and built with go install)
	.ci/acme

lint: ## gofmt, go vet, staticcheck
	@unformatted=$$(gofmt -l .) || exit 1; \
	if [ -n "$$unformatted" ]; then echo "gofmt wants to change:"; echo "$$unformatted"; exit 1; fi
	$(GO) vet ./...
	$(GO) tool staticcheck ./...

fuzz: ## every fuzz target for FUZZTIME (10s) each
	@GO=$(GO) .ci/fuzz $(FUZZTIME)

tls-table: build ## what OpenSSL and curl find at every port: versions, ALPN, names, renegotiation, session tickets
	.ci/tls ./mailstead

testssl: build ## testssl.sh (Debian's) at every port: nothing above "low"; a quarter of an hour
	.ci/testssl ./mailstead

page-shots: build ## pictures of the pages for people, in ./page-shots, by headless Chromium (Debian's; its driver comes with npm)
	.ci/page-shots ./mailstead page-shots

bench: ## benchmarks; BENCH=regexp picks some
	$(GO) test -run '^$$' -bench '$(BENCH)' -benchmem -timeout 1h ./...

bench-import: ## 200,000 messages from an mbox, twice: rate, and memory of client and server
	$(GO) test ./cmd/mailstead -count 1 -run '^TestImportMemory$$' -timeout 1h -v -import 200000

bench-large: ## a mailbox of LARGE_MESSAGES (20000) and a store of LARGE_MB (500), in LARGE_DIR (/var/tmp)
	$(GO) test ./mailbox -count 1 -run '^TestLarge(Mailbox|Corpus)$$' -timeout 0 -v -large.messages $(LARGE_MESSAGES) \
		-large.mb $(LARGE_MB) -large.seconds $(LARGE_SECONDS) -large.pairs $(LARGE_PAIRS) -large.dir $(LARGE_DIR) -large.rest 5s $(LARGE_FLAGS)

bench-outgoing: ## OUTGOING (3000) messages from our queue and from Postfix's into one fast sink, in turns (needs root)
	$(GO) test ./cmd/mailstead -count 1 -run '^TestOutgoingRate$$' -timeout 1h -v -outgoing $(OUTGOING) -outgoing.dir $(OUTGOING_DIR)

bench-slowflush: ## deliveries where a flush takes SLOWFLUSH (2ms,8ms), beside a raw program and Postfix + Dovecot (needs root)
	$(GO) test ./cmd/mailstead -count 1 -run '^TestSlowFlush$$' -timeout 0 -v -slowflush $(SLOWFLUSH) -slowflush.rounds $(SLOWFLUSH_ROUNDS)

network: ## mail to Postfix and back through DANE, MTA-STS, REQUIRETLS and refusals; from which address it goes (needs root, postfix and iproute2)
	$(GO) test ./cmd/mailstead -count 1 -run '^TestNetwork(Source)?$$' -timeout 5m -v -network

setup-fresh: build ## `mailstead setup` at a terminal of a machine of its own, to the first letter in and out (needs root); FRESH_ROOT="$$(.ci/fresh-root)" for a new Debian
	$(GO) test ./cmd/mailstead -count 1 -run '^TestSetupFresh$$' -timeout 5m -v -fresh $(CURDIR)/mailstead -fresh.root $(FRESH_ROOT)

deb-fresh: ## the Debian package on a machine of its own: installed, set up, a letter in and out, upgraded, removed, purged, back (needs root); FRESH_ROOT as above
	VERSION=$(VERSION) GO=$(GO) .ci/deb-fresh $(FRESH_ROOT)

interop-dkim: ## DKIM_LETTERS (1000) odd letters, signed, relayed by Postfix, verified by go-msgauth and opendkim (needs root)
	$(GO) test ./cmd/mailstead -count 1 -run '^TestSignaturesHold$$' -timeout 20m -v -dkim.messages $(DKIM_LETTERS) -dkim.postfix

clients: build ## real clients (curl, swaks, mbsync) against mailstead local
	.ci/clients ./mailstead

differential: ## IMAP answers next to those of Dovecot 2.3, with 6,000 real letters (fetched once, with npm)
	corpus=$$(.ci/corpus) && $(GO) test ./imap/differential -count 1 -run '^TestDifferential$$' -timeout 20m -v -corpus "$$corpus"

junk: ## the junk filter's mistakes with 6,000 real letters (fetched once, with npm), next to plain naive Bayes; its speed
	corpus=$$(.ci/corpus) && $(GO) test ./mailbox/junk -count 1 -run '^TestCorpus$$' -bench Corpus -timeout 20m -v -corpus "$$corpus"

idle: ## memory of 10,000 idling IMAP connections at once: plain, TLS, with COMPRESS
	$(GO) test ./imap -count 1 -run '^TestIdleMemory$$' -timeout 30m -v -idle 10000

soak: ## mixed load, kill -9 and restarts for SOAK (5m), and disks that fill: nothing acknowledged may be lost
	$(GO) test ./cmd/mailstead -count 1 -run '^TestSoak$$|^TestFullDisk$$' -timeout 0 -v -soak $(SOAK) -tinydisk

soak-queue: ## mail to a server that refuses, puts off and goes away, kill -9 and restarts for SOAK (5m): nothing lost, nothing twice but for kills
	$(GO) test ./cmd/mailstead -count 1 -run '^TestQueueSoak$$' -timeout 0 -v -soak.queue $(SOAK)

soak-restart: ## RESTARTS (100) restarts in place under load of all protocols: nobody refused, nothing lost
	$(GO) test ./cmd/mailstead -count 1 -run '^TestRestart$$' -timeout 0 -v -restarts $(RESTARTS)

import-imap: ## IMAP_MESSAGES (50000) messages from Dovecot: rate, memory, client and server killed on the way; nothing lost or doubled (needs root and dovecot-imapd)
	$(GO) test ./cmd/mailstead -count 1 -run '^TestImportIMAPFromDovecot$$' -timeout 1h -v -imap.messages $(IMAP_MESSAGES)

model: ## racing sessions, cleaning and crashes against a ledger for MODEL (5m)
	$(GO) test ./mailbox -count 1 -run '^TestSessionsAgainstLedger$$' -timeout 0 -v -model $(MODEL)

faults: ## every FAULTS-th (1) call of the file system fails once, and from it on, under log and store (1: minutes)
	MAILSTEAD_FAULTS=$(FAULTS) $(GO) test ./mailbox/log ./mailbox -count 1 -run '^TestEveryCallFails$$|^TestStoreOnFailingDisk$$' -timeout 0 -v

powercut: ## POWERCUTS (10000) simulated power cuts under the store, from POWERCUT_SEED on; ERASURES (200) with one in an erasure; FLIPS (3000) of bits
	MAILSTEAD_POWERCUTS=$(POWERCUTS) MAILSTEAD_POWERCUT_SEED=$(POWERCUT_SEED) MAILSTEAD_ERASURES=$(ERASURES) MAILSTEAD_FLIPS=$(FLIPS) \
		MAILSTEAD_POWERLOSSES=20 $(GO) test ./mailbox -count 1 -run '^TestStorePowerCuts|^TestErasurePowerCuts|^TestStoreFlippedBits|^TestPowerLoss' -timeout 0 -v

install: build ## binary, manual, service and completions below PREFIX (/usr/local)
	install -D -m 755 mailstead $(DESTDIR)$(PREFIX)/bin/mailstead
	$(MAKE) --no-print-directory install-files

install-files: # all but the binary
	install -D -m 644 docs/man/mailstead.1 $(DESTDIR)$(PREFIX)/share/man/man1/mailstead.1
	install -D -m 644 docs/man/mailstead.toml.5 $(DESTDIR)$(PREFIX)/share/man/man5/mailstead.toml.5
	install -D -m 644 cmd/mailstead/completions/mailstead.bash $(DESTDIR)$(PREFIX)/share/bash-completion/completions/mailstead
	install -D -m 644 cmd/mailstead/completions/mailstead.zsh $(DESTDIR)$(ZSHDIR)/_mailstead
	install -D -m 644 cmd/mailstead/completions/mailstead.fish $(DESTDIR)$(PREFIX)/share/fish/vendor_completions.d/mailstead.fish
	install -d $(DESTDIR)$(UNITDIR)
	sed 's,=/usr/local/bin/,=$(PREFIX)/bin/,' cmd/internal/setup/mailstead.service >$(DESTDIR)$(UNITDIR)/mailstead.service
	chmod 644 $(DESTDIR)$(UNITDIR)/mailstead.service

release: ## static binaries for Linux, FreeBSD and macOS with manual and completions, and their checksums, in dist/
	VERSION=$(VERSION) GO=$(GO) .ci/release $(PLATFORMS)

release-twice: ## the same twice from the last commit, in two folders, with cold caches: not an octet differs (PLATFORMS=linux/amd64 for one)
	VERSION=$(VERSION) GO=$(GO) .ci/release-twice $(PLATFORMS)

platforms: ## go vet of PACKAGES (./...) with their tests, for the systems that no test runs on: SYSTEMS (freebsd darwin)
	@for system in $(SYSTEMS); do echo "== $$system"; GOOS=$$system GOARCH=amd64 $(GO) vet $(PACKAGES) || exit 1; done

container: ## the folder that a container image is built from, dist/container (podman build -t mailstead dist/container)
	VERSION=$(VERSION) GO=$(GO) .ci/container dist/container $(CONTAINER_ARCH)

container-check: ## the container's definition, followed without an engine: a letter in and out, stopped, started again (needs root); with buildah, where it is, too
	VERSION=$(VERSION) GO=$(GO) .ci/container-check

deb: ## Debian packages for amd64 and arm64 in dist/ (needs dpkg-deb)
	VERSION=$(VERSION) GO=$(GO) .ci/deb

lint-deb: ## lintian and systemd-analyze on the packages in dist/ (after make deb; needs both tools)
	.ci/lint-deb

vuln: ## known vulnerabilities in what the binary uses (asks the internet)
	@echo "govulncheck and its database come from the internet; .ci/run does not depend on this."
	$(GO) run golang.org/x/vuln/cmd/govulncheck@latest ./...

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-15s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
