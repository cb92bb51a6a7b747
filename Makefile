# `make run` and `make test` set everything up on a machine that has only Python 3.11+ and make.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
WORKERS ?= 2

.PHONY: run test check format lock picture fidelity oversubscription clean

run: $(VENV)/installed
	$(BIN)/kvandal run stargate-norway

test: $(VENV)/installed-test chromium
	$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/mypy
	$(BIN)/pytest -n $(WORKERS)

check: $(VENV)/installed-test
	$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/mypy
	$(BIN)/pytest -n $(WORKERS) -m "not slow and not browser" -q

format: $(VENV)/installed-test
	$(BIN)/ruff check --fix . ; $(BIN)/ruff format .

# The lock files pin every package; the package itself is installed from this folder.
$(VENV)/installed: requirements.lock pyproject.toml
	test -d $(VENV) || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps -e .
	touch $@

$(VENV)/installed-test: requirements-dev.lock $(VENV)/installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements-dev.lock
	touch $@

# Browser tests need Chromium: installed where we are root on Debian, else those tests are reported as not run.
.PHONY: chromium
chromium:
	@if ! command -v chromium >/dev/null && [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
		apt-get update -q && DEBIAN_FRONTEND=noninteractive apt-get install -qy --no-install-recommends chromium; \
	fi

lock: $(VENV)/installed-test
	$(BIN)/python -m pip install --quiet pip-tools
	$(BIN)/pip-compile --quiet --strip-extras --no-header --no-annotate --no-emit-index-url --no-emit-find-links --output-file requirements.lock pyproject.toml
	$(BIN)/pip-compile --quiet --strip-extras --no-header --no-annotate --no-emit-index-url --no-emit-find-links --extra test --extra lint --output-file requirements-dev.lock pyproject.toml

# The picture of the README, from a year simulated now.
picture: $(VENV)/installed-test chromium
	rm -rf runs/picture && $(BIN)/kvandal run stargate-norway --quiet --out runs/picture
	$(BIN)/python docs/picture.py runs/picture

# Every model against an independent reference: docs/fidelity.md and its figures.
fidelity: $(VENV)/installed-test
	cd docs && ../$(BIN)/python -m fidelity

# More and more GPUs behind one connection: the table of docs/oversubscription.md (four weeks of the site, some minutes).
oversubscription: $(VENV)/installed
	$(BIN)/python docs/oversubscription.py

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis dist
