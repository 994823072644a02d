# Everything a contributor or a first-time user runs. Needs make, Python 3.11 or newer with venv, and a package index.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip -qq --disable-pip-version-check
INSTALLED := $(VENV)/.installed
MARKED := test-slow test-browser test-ray test-nightly test-gpu

.PHONY: help install study test $(MARKED) lint docs site pictures drive axe bench mutants lock audit
.DEFAULT_GOAL := help

help:
	@echo "make study    install, run the shapes study into runs/shapes, say where its report is"
	@echo "make test     install, run the tests"
	@echo "make lint     install, check style and types"
	@echo "make docs     write docs/commands.md from the commands' own help, docs/weights.md from the catalogue, docs/events.schema.json, and the site"
	@echo "make site     build the documentation as a site into build/site, by mkdocs and by Zensical (in .site/)"
	@echo "make pictures renew the pictures of docs/images from finished runs (REPORTS=\"shapes=runs/shapes/report.html\")"
	@echo "make drive    use finished runs' reports in a browser and say what is wrong (REPORTS=runs/shapes/report.html)"
	@echo "make axe      fetch axe-core into .axe/, by npm: make test-browser then asks it about the pages, too"
	@echo "make bench    run the scripts in benchmarks/"
	@echo "make mutants  change the code one place at a time and see whether tests notice (an hour; ROOMS=\"stats\" SAMPLE=100)"
	@echo "make lock     pin every requirement again (needs uv)"
	@echo "make audit    look up known vulnerabilities of every pinned requirement (pip-audit, in .audit/)"
	@echo "also: $(MARKED)"

install: $(INSTALLED)

$(INSTALLED): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "error: $(PYTHON) is older than Python 3.11; name another one: make PYTHON=python3.12 ..." >&2; exit 2; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "installing into $(VENV) (PyTorch is large: minutes on a fresh machine)"
	@$(PIP) install --no-deps --require-hashes -r requirements.lock
	@$(PIP) install --no-deps --no-build-isolation -e .
	@touch $@

study: install
	@$(BIN)/headstart run shapes --out runs/shapes

test: install
	$(BIN)/python -m pytest -n auto --maxprocesses 4 --dist worksteal

$(MARKED): test-%: install
	$(BIN)/python -m pytest -m $* $(if $(filter slow,$*),-n 2 --dist loadfile)

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

docs: install
	@$(BIN)/typer headstart.cli.main utils docs --name headstart --title "Commands" --output docs/commands.md >/dev/null
	@$(BIN)/python -m headstart.weights.listing docs/weights.md
	@$(BIN)/python -m headstart.study.executors.telling docs/events.schema.json
	@$(MAKE) --no-print-directory site

# An environment of its own: nothing that Headstart needs. Both generators read mkdocs.yml, and a warning is a failure.
.site/.installed: requirements-docs.lock
	@test -x .site/bin/python || $(PYTHON) -m venv .site
	@.site/bin/python -m pip -qq --disable-pip-version-check install --no-deps --require-hashes -r requirements-docs.lock
	@touch $@

site: .site/.installed
	@NO_MKDOCS_2_WARNING=1 .site/bin/mkdocs --quiet build --strict --site-dir build/site-mkdocs
	@.site/bin/zensical build --strict --clean

pictures: install
	@PYTHONPATH=tests $(BIN)/python tests/support/reports/pictures.py docs/images $(REPORTS)

drive: install
	@PYTHONPATH=tests $(BIN)/python tests/support/reports/driven.py $(REPORTS)

axe:
	@npm --silent --prefix .axe install --no-save --ignore-scripts axe-core@4.14.1

bench: install
	@for script in benchmarks/*.py; do echo "== $$script"; $(BIN)/python "$$script" || exit 1; done

mutants: install
	@$(BIN)/python tests/mutants.py $(ROOMS) $(if $(SAMPLE),--sample $(SAMPLE))

lock:
	@command -v uv >/dev/null || { echo "error: make lock needs uv on the PATH" >&2; exit 2; }
	@echo "# Hash-pinned, for Linux and macOS, Python 3.11 to 3.13. Made by: make lock" > requirements.lock.new
	@uv pip compile pyproject.toml --all-extras --group dev --constraints constraints.txt --universal --python-version 3.11 \
		--generate-hashes --no-header --quiet >> requirements.lock.new
	@mv requirements.lock.new requirements.lock
	@echo "# Hash-pinned: what builds the documentation. Made by: make lock" > requirements-docs.lock.new
	@uv pip compile --group docs --universal --python-version 3.11 --generate-hashes --no-header --quiet \
		>> requirements-docs.lock.new
	@mv requirements-docs.lock.new requirements-docs.lock

# An environment of its own: what looks for faults in the requirements is not one of them. --strict: a package that
# cannot be looked up is a failure, not a pass.
audit:
	@test -x .audit/bin/pip-audit || { $(PYTHON) -m venv .audit && .audit/bin/python -m pip -qq install pip-audit; }
	@.audit/bin/pip-audit --requirement requirements.lock --require-hashes --disable-pip --strict --progress-spinner off
