# Two commands do all the set-up: `make demo` runs the main job, `make test` passes the tests.
# They need a Python 3.12 or newer, on the path or through pyenv; or uv, which is used when it is there.
VENV := .venv
export PYTHON
BIN := $(VENV)/bin

.PHONY: demo test test-slow lint notebooks bench clean

demo: $(VENV)/.ready
	$(BIN)/bayesgmm compare faithful -k 2 --out out/faithful

test: $(VENV)/.ready
	$(BIN)/python -m pytest -n 2

test-slow: $(VENV)/.ready
	$(BIN)/python -m pytest -n 2 -m slow

lint: $(VENV)/.ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright

notebooks: $(VENV)/.ready
	$(BIN)/python -m pytest --nbmake --nbmake-timeout=600 -p no:cacheprovider notebooks

bench: $(VENV)/.ready
	$(BIN)/python benchmarks/run.py

$(VENV)/.ready: pyproject.toml scripts/setup.sh
	bash scripts/setup.sh $(VENV)
	touch $@

clean:
	rm -rf $(VENV) out
