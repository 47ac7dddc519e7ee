# `make demo` and `make test` set up the environment themselves: the first runs the demonstration, the second the tests.
# They need Python 3.12 or newer, on the path or from pyenv. If uv is installed, they use uv.
VENV := .venv
export PYTHON
BIN := $(VENV)/bin

.PHONY: demo test test-slow lint hooks notebooks docs wheel bench clean

demo: $(VENV)/.ready
	$(BIN)/bayesgmm compare faithful -k 2 --out out/faithful
	@echo "Your data: source $(VENV)/bin/activate, then bayesgmm compare your.csv -k 2 --out out/yours"

test: $(VENV)/.ready
	$(BIN)/python -m pytest -n 2 --junitxml=out/tests.xml

test-slow: $(VENV)/.ready
	$(BIN)/python -m pytest -n 2 --dist load -m slow --junitxml=out/tests-slow.xml

lint: $(VENV)/.ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright

hooks: $(VENV)/.ready
	$(BIN)/pre-commit install

wheel: $(VENV)/.ready
	bash scripts/check_wheel.sh $(VENV)

notebooks: $(VENV)/.ready
	$(BIN)/python -m pytest -n 2 --dist load --nbmake --nbmake-timeout=600 -p no:cacheprovider notebooks

# The site, with all notebooks executed: docs/_build/html/index.html. BAYESGMM_DOCS=pages executes only the pages, off nothing.
docs: $(VENV)/.ready
	$(BIN)/python -m sphinx -W --keep-going -b html -d docs/_build/doctrees docs docs/_build/html

bench: $(VENV)/.ready
	$(BIN)/python benchmarks/run.py

$(VENV)/.ready: pyproject.toml scripts/setup.sh
	bash scripts/setup.sh $(VENV)
	touch $@

clean:
	rm -rf $(VENV) out
