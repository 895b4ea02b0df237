# Everything here needs Python 3.10 or later and make; the rest is installed into .venv.
PYTHON ?= python3
BIN = .venv/bin

.PHONY: demo test quick check faults mutate bench record

demo: .venv/cli  ## Show what the package does, against its sandbox: no key, and no network once it is installed.
	@$(BIN)/aitoearn-openai demo

test: .venv/installed  ## Run all tests, with coverage.
	@$(BIN)/python -m pytest --cov -n 4 --dist loadfile

quick: .venv/installed  ## Run the tests that take less than a second each, without the fault matrix, in less than a minute.
	@$(BIN)/python -m pytest -n 4 --dist loadfile -m "not slow" --ignore tests/test_faults.py

check: .venv/installed  ## Lint, formatting and types.
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy

faults: .venv/installed  ## Print what a misbehaving server does to the plain SDK and to this package; writes docs/errors.md.
	@$(BIN)/python -m tests.faults --write

mutate: .venv/installed  ## Take out each statement of the core in turn, and print those that no test misses.
	@$(BIN)/python tests/mutate.py

bench:  ## Measure speed against the plain SDK and its peers, in some ten minutes; writes benchmarks/RESULTS.md.
	@$(PYTHON) -m benchmarks

record: .venv/installed  ## Record the cassettes anew: against the sandbox, or as cassettes/README.md says.
	@rm -f cassettes/*.yaml
	@$(BIN)/python -m pytest --record-mode=once tests/test_cassettes.py

.venv/cli: pyproject.toml
	@echo "Installing what the demo needs into .venv: up to a minute, at the first time only ..."
	@$(PYTHON) -m venv .venv
	@$(BIN)/python -m pip install -qq --disable-pip-version-check --editable '.[cli]'
	@touch $@

.venv/installed: pyproject.toml
	@echo "Installing what development needs into .venv: a minute or two, at the first time only ..."
	@$(PYTHON) -m venv .venv
	@$(BIN)/python -m pip install -qq --disable-pip-version-check --editable '.[dev]'
	@touch $@ .venv/cli
