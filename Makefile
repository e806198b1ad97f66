# make demo   builds a small family for real, and asks it for a first answer
# make test   every test, on a real engine
# make check  the fast ones: format, lint, types, layers, unit, cases
# make docs   the documentation as a site, in site/
# make bench  the numbers of docs/performance.md
# make bench-images  the numbers of docs/images.md, on an engine of its own
# make reproduce     the table of docs/howto/reproducible.md: the same images on two engines
# make bench-builds  builds in parallel and from a warm registry, for docs/performance.md, each on an engine of its own
# make bench-waves   how many targets a call of bake gets, for docs/performance.md, on an engine of its own
# make clean  takes everything away that these made

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
JOBS   ?= auto

.PHONY: demo demo-stop test check docs bench bench-images bench-builds bench-waves reproduce clean

# The environment is made anew when pyproject.toml changes.
$(VENV)/ready: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@touch $@

demo: $(VENV)/ready
	@scripts/demo.sh

demo-stop:
	@scripts/demo.sh stop

check: $(VENV)/ready
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/pytest -q -n $(JOBS) tests/unit tests/cases tests/binder tests/property

test: check
	ORBITER_REQUIRE_ENGINE=1 $(BIN)/pytest -n $(JOBS) --dist loadfile tests/contract tests/packaging tests/e2e

docs: $(VENV)/ready
	$(BIN)/python scripts/docs.py
	$(BIN)/mkdocs build --strict --quiet

bench: $(VENV)/ready
	$(BIN)/python scripts/bench.py $(ARGS)

bench-images: $(VENV)/ready
	@scripts/bench_images.sh $(ARGS)

bench-builds: $(VENV)/ready
	$(BIN)/python scripts/bench_builds.py $(ARGS)

bench-waves: $(VENV)/ready
	@scripts/bench_waves.sh $(ARGS)

reproduce: $(VENV)/ready
	$(BIN)/python scripts/reproduce.py $(ARGS)

clean:
	scripts/engine.sh purge --all
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache build/lib dist site
