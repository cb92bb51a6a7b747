# `make run` and `make test` set everything up on a machine that has only Python 3.11+ and make.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
WORKERS ?= 2
# It asks for a typer older than ours, works with ours, and is needed by one test.
CLIENT_GENERATOR := openapi-python-client==0.29.1

.PHONY: run serve test check format lock picture fidelity forecast oversubscription economics benchmarks clean

run: $(VENV)/installed
	$(BIN)/kvandal run stargate-norway

# A living site: the control plane on SQLite, with the twin as its engine, sixty times as fast as time goes.
serve: $(VENV)/installed-serve
	$(BIN)/kvandal serve stargate-norway --speed 60

test: $(VENV)/installed-test chromium slurm postgresql prometheus
	$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/mypy
	$(BIN)/pytest -n $(WORKERS) --dist loadgroup

check: $(VENV)/installed-test
	$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/mypy
	$(BIN)/pytest -n $(WORKERS) -m "not slow and not browser and not slurm and not postgres and not prometheus" -q

format: $(VENV)/installed-test
	$(BIN)/ruff check --fix . ; $(BIN)/ruff format .

# The lock files pin every package; the package itself is installed from this folder.
$(VENV)/installed: requirements.lock pyproject.toml
	test -d $(VENV) || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps -e .
	touch $@

$(VENV)/installed-serve: requirements-serve.lock $(VENV)/installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements-serve.lock
	touch $@

$(VENV)/installed-test: requirements-dev.lock $(VENV)/installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements-dev.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps $(CLIENT_GENERATOR)
	touch $@

# Browser tests need Chromium: installed where we are root on Debian, else those tests are reported as not run.
.PHONY: chromium
chromium:
	@if ! command -v chromium >/dev/null && [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
		apt-get update -q && DEBIAN_FRONTEND=noninteractive apt-get install -qy --no-install-recommends chromium; \
	fi

# What tests start of servers is installed likewise. No service is started (policy-rc.d); tests start their own.
define without_services
test -e /usr/sbin/policy-rc.d || { printf '#!/bin/sh\nexit 101\n' >/usr/sbin/policy-rc.d; chmod 755 /usr/sbin/policy-rc.d; ours=1; }; \
	apt-get update -q && DEBIAN_FRONTEND=noninteractive apt-get install -qy --no-install-recommends $(1); code=$$?; \
	test -z "$$ours" || rm /usr/sbin/policy-rc.d; exit $$code
endef
ROOT_ON_DEBIAN := [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null

# Tests of the export start a real Slurm.
SLURM := munge slurmctld slurmd slurmdbd slurmrestd slurm-client slurm-wlm-basic-plugins slurm-wlm-mysql-plugin \
	slurm-wlm-jwt-plugin mariadb-server-core mariadb-client-core libnss-wrapper
.PHONY: slurm postgresql prometheus
slurm:
	@if ! test -x /usr/sbin/slurmctld-wlm && $(ROOT_ON_DEBIAN); then $(call without_services,$(SLURM)); fi

# Tests of the store run on a real PostgreSQL too.
postgresql:
	@if ! ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 && ! command -v initdb >/dev/null && $(ROOT_ON_DEBIAN); then \
		$(call without_services,postgresql); fi

# Tests of figures, rules and alerts start a real Prometheus.
prometheus:
	@if ! command -v prometheus >/dev/null && $(ROOT_ON_DEBIAN); then $(call without_services,prometheus); fi

lock: $(VENV)/installed-test
	$(BIN)/python -m pip install --quiet pip-tools
	$(BIN)/pip-compile --quiet --strip-extras --no-header --no-annotate --no-emit-index-url --no-emit-find-links --output-file requirements.lock pyproject.toml
	$(BIN)/pip-compile --quiet --strip-extras --no-header --no-annotate --no-emit-index-url --no-emit-find-links --extra serve --output-file requirements-serve.lock pyproject.toml
	$(BIN)/pip-compile --quiet --strip-extras --no-header --no-annotate --no-emit-index-url --no-emit-find-links --extra serve --extra test --extra lint --output-file requirements-dev.lock pyproject.toml

# The next migration of the store, from what the tables in the code have become: read it before it is kept.
.PHONY: migration
migration: $(VENV)/installed-test
	$(BIN)/python -m kvandal.control.store.migrations.draft next "$(MESSAGE)"
	$(BIN)/ruff check --quiet --fix src/kvandal/control/store/migrations; $(BIN)/ruff format --quiet src/kvandal/control/store/migrations

# The picture of the README, from a year simulated now.
picture: $(VENV)/installed-test chromium
	rm -rf runs/picture && $(BIN)/kvandal run stargate-norway --quiet --out runs/picture
	$(BIN)/python docs/picture.py runs/picture
	$(BIN)/python docs/live_picture.py

# Every model against an independent reference: docs/fidelity.md and its figures.
fidelity: $(VENV)/installed-test
	cd docs && ../$(BIN)/python -m fidelity

# Jobs of two runs, forecast from what was known before them and then looked up: the tables of docs/forecast.md.
forecast: $(VENV)/installed-test
	rm -rf runs/forecast-default runs/forecast-busy
	$(BIN)/kvandal run stargate-norway --days 56 --quiet --out runs/forecast-default
	$(BIN)/kvandal run docs/forecast_busy.toml --quiet --out runs/forecast-busy
	$(BIN)/python docs/forecast_calibration.py runs/forecast-busy --what "Ten racks with queues" --days 28 52 --jobs 180
	$(BIN)/python docs/forecast_calibration.py runs/forecast-default --what "stargate-norway" --days 28 40 --jobs 45

# More and more GPUs behind one connection: the table of docs/oversubscription.md (four weeks of the site, some minutes).
oversubscription: $(VENV)/installed
	$(BIN)/python docs/oversubscription.py

# Three decisions on whole years: the tables of docs/economics.md (seven runs, about eight minutes).
economics: $(VENV)/installed
	$(BIN)/python docs/economics.py

# Every recipe of benchmarks/ and the growth of cost, kept under the version and the commit: docs/benchmarks.md (about ten minutes).
benchmarks: $(VENV)/installed
	$(BIN)/python benchmarks/benchmarks.py --scale

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis dist
