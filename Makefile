# What a person types here. A fresh machine needs Python 3.11 or newer, make and git: everything else is
# made below .venv from the hashes in .lock. PYTHON names another interpreter, ARGS goes to pytest and the benchmarks.

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
PIP    := $(BIN)/python -m pip --disable-pip-version-check --no-input
JS     := tests/e2e/js

PREFIX     ?= /usr/local
BINDIR     ?= $(PREFIX)/bin
LIBDIR     ?= $(PREFIX)/lib/tokligenced
SYSCONFDIR ?= /etc/tokligenced
UNITDIR    ?= $(PREFIX)/lib/systemd/system
SYSUSERSDIR ?= $(PREFIX)/lib/sysusers.d
UNITS      := tokligenced.service tokligenced.socket tokligenced-backup.service tokligenced-backup.timer

.PHONY: help run test check bench torture agents dist install uninstall lock clean
.DEFAULT_GOAL := help

help: ## this list
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/  make \1\t\2/p' Makefile | expand -t 20

run: $(VENV)/.runtime ## install what is missing and start the daemon with its demo provider
	@exec $(BIN)/tokligenced demo

test: check $(if $(shell command -v npm),$(JS)/node_modules/.package-lock.json) ## every check and every test
	$(BIN)/python -m pytest -rs --cov --cov-report=term:skip-covered $(ARGS)

check: $(VENV)/.dev ## form, lint, types and the floors of the house
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo

bench: $(VENV)/.dev ## the gateway beside a bare relay, as one table
	$(BIN)/python -m tests.bench $(ARGS)

torture: $(VENV)/.dev ## the long proofs of the ledger: kills, hang-ups, full disks
	$(BIN)/python -m tests.torture $(ARGS)

agents: $(VENV)/.dev ## Claude Code, Codex and opencode through the gateway to a scripted upstream
	$(BIN)/python -m tests.e2e.agents $(ARGS)

# A stamp is touched last, so an install that broke off is begun again.
$(VENV)/.base:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make PYTHON=python3.11 …")'
	@echo "Installing into $(VENV) …"
	@$(PYTHON) -m venv --clear $(VENV)
	@touch $@

$(VENV)/.runtime: $(VENV)/.base .lock/build.txt .lock/runtime.txt pyproject.toml
	@$(PIP) install --quiet --require-hashes -r .lock/build.txt -r .lock/runtime.txt
	@$(PIP) install --quiet --no-deps --no-build-isolation --editable .
	@touch $@

$(VENV)/.dev: $(VENV)/.runtime .lock/dev.txt .lock/clients.txt
	@$(PIP) install --quiet --require-hashes -r .lock/dev.txt -r .lock/clients.txt
	@touch $@

$(JS)/node_modules/.package-lock.json: $(JS)/package-lock.json
	npm ci --prefix $(JS) --no-audit --no-fund
	@touch $@

# One executable file: what it is stands in .dist/launcher.c.
dist: $(VENV)/.runtime ## the gateway as one file, dist/tokligenced, that needs no Python
	rm -rf build/lib build/bdist.* build/wheel build/site
	$(PIP) wheel --quiet --no-deps --no-build-isolation --wheel-dir build/wheel .
	$(PIP) install --quiet --target build/site --require-hashes -r .lock/runtime.txt
	$(PIP) install --quiet --upgrade --target build/site --no-deps build/wheel/*.whl
	$(BIN)/python .dist/build.py build/site dist/tokligenced

# The installed gateway has an environment of its own, which holds what it runs and no installer. Its
# launcher knows the place by its final name, so a tree staged under DESTDIR works where it ends up.
install: $(VENV)/.runtime ## the gateway, its launcher, the example config and the units (DESTDIR, PREFIX)
	rm -rf build/lib build/bdist.* build/wheel '$(DESTDIR)$(LIBDIR)'
	$(PIP) wheel --quiet --no-deps --no-build-isolation --wheel-dir build/wheel .
	$(PYTHON) -m venv --without-pip '$(DESTDIR)$(LIBDIR)'
	$(PIP) --python '$(DESTDIR)$(LIBDIR)/bin/python' install --quiet --require-hashes -r .lock/runtime.txt
	$(PIP) --python '$(DESTDIR)$(LIBDIR)/bin/python' install --quiet --no-deps build/wheel/*.whl
	find '$(DESTDIR)$(LIBDIR)/bin' -type f -delete
	install -d '$(DESTDIR)$(BINDIR)' '$(DESTDIR)$(SYSCONFDIR)' '$(DESTDIR)$(UNITDIR)' '$(DESTDIR)$(SYSUSERSDIR)'
	printf '#!/bin/sh\nexec "%s/bin/python" -I -m tokligenced "$$@"\n' '$(LIBDIR)' > '$(DESTDIR)$(BINDIR)/tokligenced'
	chmod 755 '$(DESTDIR)$(BINDIR)/tokligenced'
	install -m 644 config.example.toml '$(DESTDIR)$(SYSCONFDIR)/config.example.toml'
	install -m 644 systemd/tokligenced.sysusers '$(DESTDIR)$(SYSUSERSDIR)/tokligenced.conf'
	for unit in $(UNITS); do \
	    sed 's|/usr/local/bin|$(BINDIR)|; s|/etc/tokligenced|$(SYSCONFDIR)|' systemd/$$unit > '$(DESTDIR)$(UNITDIR)'/$$unit; \
	    chmod 644 '$(DESTDIR)$(UNITDIR)'/$$unit; \
	done

uninstall: ## what install put there; configuration and database stay
	rm -rf '$(DESTDIR)$(LIBDIR)'
	rm -f '$(DESTDIR)$(BINDIR)/tokligenced' '$(DESTDIR)$(SYSCONFDIR)/config.example.toml' '$(DESTDIR)$(SYSUSERSDIR)/tokligenced.conf'
	for unit in $(UNITS); do rm -f '$(DESTDIR)$(UNITDIR)'/$$unit; done

# Resolved on the oldest Python that is supported: what it needs is a superset of what newer ones need.
COMPILE = CUSTOM_COMPILE_COMMAND='make lock' build/lock/bin/pip-compile --quiet --no-config --no-strip-extras --allow-unsafe \
	--generate-hashes --no-emit-index-url --no-emit-trusted-host --no-emit-find-links --annotation-style=line $(if $(UPGRADE),--upgrade)

lock: ## the dependencies of pyproject.toml resolved into .lock (UPGRADE=1: the newest of each)
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11) and "locked with Python 3.11: make lock PYTHON=python3.11")'
	$(PYTHON) -m venv --clear build/lock
	build/lock/bin/python -m pip install --quiet pip-tools==7.6.2
	$(COMPILE) --only-build-deps --build-deps-for wheel -o .lock/build.txt pyproject.toml
	$(COMPILE) -o .lock/runtime.txt pyproject.toml
	$(COMPILE) --extra dev -c .lock/runtime.txt -o .lock/dev.txt pyproject.toml
	$(COMPILE) --extra clients -c .lock/dev.txt -o .lock/clients.txt pyproject.toml

clean: ## everything that was made here
	rm -rf $(VENV) build dist .run *.egg-info .coverage .hypothesis .mypy_cache .pytest_cache .ruff_cache .import_linter_cache $(JS)/node_modules tests/e2e/agents/node_modules
	find tokligenced tests -name __pycache__ -type d -prune -exec rm -rf {} +
