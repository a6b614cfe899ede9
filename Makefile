# Switchgear. `make run` and `make test` are all a newcomer needs: both install
# what is missing (Debian packages), build, and go on. `make help` lists the rest.

BUILD   := build
PREFIX  := /usr/local
DESTDIR :=
PACKAGES_BUILD := gcc meson ninja-build pkg-config libfyaml-dev libjansson-dev libc-ares-dev \
                  libssl-dev libsqlite3-dev libhiredis-dev libpq-dev libcmocka-dev
PACKAGES_TEST  := clang libclang-rt-14-dev clang-format clang-tidy llvm python3-pytest python3-pytest-xdist \
                  python3-httpx python3-h11 python3-websockets python3-yaml prometheus nginx-light haproxy curl \
                  chromium cmake g++ groff spin libuv1-dev libcurl4-openssl-dev \
                  postgresql redis-server python3-redis python3-psycopg2 python3-pymongo python3-jsonschema systemd tmux \
                  golang-go golang-github-masterminds-sprig-dev golang-k8s-sigs-yaml-dev lintian
# A nodejs from elsewhere brings its npm along, and Debian's would not go with it.
PACKAGES_NODE  := $(shell command -v node >/dev/null && command -v npm >/dev/null || echo nodejs npm)
PACKAGES_DEB   := dpkg-dev debhelper
PACKAGES_STORE := postgresql python3-psycopg2
PACKAGES_BLOG  := python3-pymongo
PYTEST  := /usr/bin/python3 -m pytest

.PHONY: all run example-blog-qa example-store example-ecommerce-ai example-ecommerce-ai-postgres example-ai-platform test bench \
        bench-faults soak docs deb install uninstall clean help format lint deps deps-test

all: deps
	@scripts/build $(BUILD)

help:
	@echo "make                                build build/switchgear"
	@echo "make run                            build, and start the demo: gateway, services, panel"
	@echo "make example-store                  a whole system to break: payments, e-mails, PostgreSQL, rates"
	@echo "make example-ecommerce-ai           another: a shop's seven AI services, and what stands in for them"
	@echo "make example-ecommerce-ai-postgres  the same on PostgreSQL"
	@echo "make example-ai-platform            models on GPUs, and what answers while those are gone"
	@echo "make example-blog-qa                readers ask, a model answers: five things that fail, one of them a database"
	@echo "make test                           every test suite, also under sanitizers; ends with the counts"
	@echo "make bench                          speed: of the engine, and as ratios to HAProxy and nginx in the same run"
	@echo "make bench-faults                   what happens to clients while an upstream is killed, hung, slow …"
	@echo "make soak                           the long proofs"
	@echo "make docs                           writes the reference pages from the program's own tables"
	@echo "make deb                            Debian packages, into build/deb"
	@echo "make install                        PREFIX=/usr/local DESTDIR= ; make uninstall takes it away"

deps:
	@scripts/install-packages $(PACKAGES_BUILD)

deps-test: deps
	@scripts/install-packages $(PACKAGES_TEST) $(PACKAGES_DEB) $(PACKAGES_NODE)

run: all
	@exec $(BUILD)/switchgear demo

example-store: all
	@scripts/install-packages $(PACKAGES_STORE)
	@exec examples/store/run

example-ecommerce-ai: all
	@exec examples/ecommerce-ai/run

example-ecommerce-ai-postgres: all
	@scripts/install-packages postgresql
	@exec examples/ecommerce-ai/run --postgres

example-blog-qa: all
	@scripts/install-packages $(PACKAGES_BLOG)
	@exec examples/blog-qa/run

example-ai-platform: all
	@scripts/install-packages redis-server
	@exec examples/ai-platform/run

test: deps-test
	@scripts/test

bench: deps-test all
	@$(BUILD)/bench/engine_bench
	@$(BUILD)/bench/cache_hit_ratio
	@bench/speed
	@bench/outbox
	@bench/tiers

bench-faults: deps-test all
	@bench/faults

soak: deps-test
	@scripts/soak

docs: all
	@scripts/reference $(BUILD)/switchgear

format:
	@git ls-files '*.c' '*.h' | xargs clang-format-14 -i

lint:
	@scripts/lint

deb: deps
	@scripts/install-packages $(PACKAGES_DEB)
	@scripts/deb $(BUILD)/deb

install: all
	@meson configure $(BUILD) --prefix=$(PREFIX)
	@ninja -C $(BUILD) --quiet
	@DESTDIR=$(DESTDIR) meson install -C $(BUILD) --no-rebuild --quiet
	@echo "installed under $(DESTDIR)$(PREFIX)"

uninstall:
	@ninja -C $(BUILD) uninstall

clean:
	rm -rf $(BUILD)
