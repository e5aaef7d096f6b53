# What there is to make. Everything but `run`, `build` and `dist` is for those
# who change the project; `make help` lists it.
GO      ?= go
ARGS    ?=
FUZZ    ?= 30s
COUNT   ?= 5
SOAK    ?= 3m
SEED    ?=
VULNDB  ?=
LONGEST  = ./test/e2e ./deploy/render ./store/gcpfirestore ./cmd/hotreader ./store/awsdynamodb ./store/azurecosmos
ENGINES  = HOTREADER_DYNAMODB="$(CURDIR)/.engines/dynamodb" HOTREADER_COSMOS="$(CURDIR)/.engines/cosmosdb" HOTREADER_FIRESTORE="$(CURDIR)/.engines/firestore" HOTREADER_AZURITE="$(CURDIR)/.engines/azurite" HOTREADER_GCS="$(CURDIR)/.engines/gcs" HOTREADER_GOFAKES3="$(CURDIR)/.engines/gofakes3" HOTREADER_DUCKDB="$(CURDIR)/.engines/duckdb" HOTREADER_PYTHON="$$(cat .engines/python)"

.PHONY: help
help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: run
run: build ## the demo: three clouds on this machine, nine routes checked (ARGS=--once to stop after)
	bin/hotreader demo $(ARGS)

.PHONY: build
build: ## bin/hotreader
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags='-s -w' -o bin/hotreader ./cmd/hotreader

# Without symbols for a debugger, for sixty programs are linked; without vet, which is
# among the linters; and without the second for which the race detector keeps each
# program that ends.
.PHONY: test
test: engines ## all tests, with the race detector, on real engines (fetched if missing)
	$(ENGINES) GORACE=atexit_sleep_ms=0 $(GO) test -race -tags engines -vet=off -ldflags='-s -w' -timeout 25m $(LONGEST) ./...
	cd test/prom && $(GO) test -vet=off -timeout 10m .

.PHONY: proof
proof: engines ## the real series under every layout, on every engine; a zoom over ten million rows; completion in bash, zsh and fish; what is too long for make test
	$(ENGINES) $(GO) test -count 1 -tags engines,proof -vet=off -timeout 60m -run 'TestProof' -v ./store/... ./test/tiers ./test/page ./test/programs ./test/e2e ./cmd/... | grep -v '^=== '

.PHONY: nine
nine: engines ## the nine routes alone, and the matrix of what came over them
	$(ENGINES) $(GO) test -count 1 -tags engines -run TestNineRoutes -v ./test/e2e

.PHONY: engines
engines: ## fetch what the tests run against, or say what to install
	@scripts/engines.sh

.PHONY: emulators
emulators: ## fetch the emulators of hotreader deploy --target local, or say what to install
	@scripts/engines.sh local

.PHONY: check
check: fmt lint scripts race vuln ## formatting, vet and other linters, race detector, fuzz seeds, known vulnerabilities

.PHONY: fmt
fmt:
	@files="$$(gofmt -l $$(git ls-files -co --exclude-standard '*.go'))"; \
	if [ -n "$$files" ]; then echo "not formatted (run gofmt -w):" $$files >&2; exit 1; fi

# The linters are a module of their own, so that they add nothing to go.mod.
bin/golangci-lint: tools/go.mod tools/go.sum
	$(GO) build -modfile=tools/go.mod -o $@ github.com/golangci/golangci-lint/v2/cmd/golangci-lint

.PHONY: lint
lint: bin/golangci-lint
	bin/golangci-lint run --build-tags engines ./...

# Where there is no shellcheck, CI checks.
.PHONY: scripts
scripts:
	@if command -v shellcheck >/dev/null; then shellcheck scripts/*.sh .ci/run; fi

.PHONY: race
race:
	$(GO) test -race ./...

# Answers 0 when nothing is found and 3 when something is; anything else means
# that it could not judge, most often that the database was not reached. VULNDB
# names another, as file:///a/folder that golang.org/x/vulndb's indexdb has made.
.PHONY: vuln
vuln:
	@$(GO) build -modfile=tools/go.mod -o bin/govulncheck golang.org/x/vuln/cmd/govulncheck
	@bin/govulncheck $(if $(VULNDB),-db $(VULNDB)) -tags engines ./... >bin/govulncheck.txt 2>&1; code=$$?; \
	case $$code in \
	0) echo "govulncheck: no known vulnerability" ;; \
	3) cat bin/govulncheck.txt >&2; exit 3 ;; \
	*) echo "govulncheck: NOT CHECKED, exit $$code: $$(tail -n 1 bin/govulncheck.txt)" >&2 ;; \
	esac

.PHONY: fuzz
fuzz: ## every fuzz target for a while (FUZZ=30s)
	@scripts/fuzz.sh $(FUZZ)

.PHONY: soak
soak: ## more load than can be answered, hostile clients, a stop in the middle, 100 kills (SOAK=3m SEED=…)
	@SOAK="$(SOAK)" SEED="$(SEED)" $(GO) test -count 1 -v -timeout 2h ./test/soak

.PHONY: bench
bench: engines ## sizes, starts and benchmarks, with the baselines to compare with in the same run
	$(ENGINES) $(GO) test -tags engines -run '^$$' -bench . -benchmem ./...
	cd test/prom && $(GO) test -run '^$$' -bench . .

.PHONY: functions
functions: ## dist/ with the functions' packages alone, which hotreader deploy needs
	@GO="$(GO)" $(GO) run ./scripts/dist -only functions

.PHONY: dist
dist: ## dist/: the command for each platform, each function's zip, images, and what they are made of
	@GO="$(GO)" $(GO) run ./scripts/dist

.PHONY: dist-check
dist-check: ## dist/ twice, in two folders with two build caches: the same bytes? Installed: whole?
	@GO="$(GO)" scripts/dist-check.sh

.PHONY: validate
validate: ## Azure's and Google Cloud's modules with their real providers, from Terraform's registry
	@scripts/validate-modules.sh

.PHONY: clean
clean: ## remove what was built and fetched
	rm -rf bin dist .engines
