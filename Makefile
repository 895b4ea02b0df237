# Everything here needs Python 3.10 or later and make; the rest is installed into .venv.
PYTHON ?= python3
BIN = .venv/bin
PINS = requirements-dev.txt
INSTALL = $(BIN)/uv pip install --quiet --python $(BIN)/python --constraint $(PINS) --build-constraint $(PINS)
PYTEST = $(BIN)/python -m pytest -n 4 --dist loadfile

# Compiled once, and not by each of the many processes that tests start.
export UV_COMPILE_BYTECODE = 1
export PYTHONDONTWRITEBYTECODE =

.PHONY: help demo quick test check docs docs-serve nightly faults mutate bench record pictures lock

help:  ## List these commands.
	@awk -F ':.*  ## ' '/^[a-z-]+:.*  ## / { printf "%-11s%s\n", $$1, $$2 }' Makefile

demo: .venv/cli  ## Show what the package does, against its sandbox: no key, and no network once it is installed.
	@$(BIN)/aitoearn-openai demo

quick: .venv/installed  ## Run the tests that take less than a second each, and of tables a part, in half a minute.
	@$(PYTEST) -m "not slow and not row"

test: .venv/installed  ## Run all tests; coverage of src/ must be 100 %, branches included.
	@$(PYTEST) --cov

check: .venv/installed  ## Lint, formatting, types, and the workflows.
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/check-jsonschema --builtin-schema vendor.github-workflows .github/workflows/*.yml
	@$(BIN)/check-jsonschema --builtin-schema vendor.dependabot .github/dependabot.yml
	@$(BIN)/check-jsonschema --builtin-schema vendor.github-issue-forms .github/ISSUE_TEMPLATE/report.yml
	@$(BIN)/check-jsonschema --builtin-schema vendor.github-issue-config .github/ISSUE_TEMPLATE/config.yml
	@$(BIN)/zizmor --quiet --offline --strict-collection .github
	@if command -v actionlint > /dev/null; then actionlint; fi  # Its package downloads it from GitHub, so it is not in the pins.

nightly: .venv/installed  ## Run all that there is, for hours: each SDK and Python, frameworks, programs, fuzzing, mutation.
	@$(BIN)/nox

docs: .venv/docs  ## Build the site of the documentation in both languages, and check its links; warnings are errors.
	@$(BIN)/python docs/build.py

docs-serve: .venv/docs  ## Build the site, and show it at http://127.0.0.1:8000.
	@$(BIN)/python docs/build.py --serve

faults: .venv/installed  ## Print what a misbehaving server does to the plain SDK and to this package; writes docs/errors.md.
	@$(BIN)/python -m tests.faults --write

mutate: .venv/installed  ## Take out each statement of the core's functions in turn; compare what no test notices with tests/survivors.txt.
	@$(BIN)/python tests/mutate.py

bench:  ## Measure speed against the plain SDK and its peers, in some ten minutes; writes benchmarks/RESULTS.md.
	@$(PYTHON) -m benchmarks

record: .venv/installed  ## Record the cassettes anew: against the sandbox, or as cassettes/README.md says.
	@rm -f cassettes/*.yaml
	@$(BIN)/python -m pytest --record-mode=once tests/test_cassettes.py

pictures: .venv/installed  ## Draw the pictures of the READMEs anew, from real runs.
	@$(BIN)/python docs/pictures.py

lock: .venv/uv  ## Renew requirements-dev.txt, the pins of what is installed here: the newest releases for each Python.
	@$(BIN)/uv pip compile --quiet --upgrade --universal --python-version 3.10 --no-annotate --no-emit-index-url \
		--extra dev --extra docs pyproject.toml --output-file $(PINS)

.venv/uv: $(PINS)
	@echo "Installing into .venv what is needed: up to a minute, at the first time only ..."
	@$(PYTHON) -m venv .venv
	@$(BIN)/python -m pip install -qq --disable-pip-version-check --constraint $(PINS) uv
	@touch $@

.venv/cli: pyproject.toml .venv/uv
	@$(INSTALL) --editable '.[cli]'
	@touch $@

.venv/installed: pyproject.toml .venv/uv
	@$(INSTALL) --editable '.[dev]'
	@touch $@ .venv/cli

.venv/docs: pyproject.toml .venv/uv
	@$(INSTALL) --editable '.[docs]'
	@touch $@
