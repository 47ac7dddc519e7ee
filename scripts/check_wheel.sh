#!/usr/bin/env bash
# Build the wheel, install it in an empty environment, and use it there. Usage: scripts/check_wheel.sh .venv
set -euo pipefail
venv=$(cd "${1:-.venv}" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

"$venv/bin/python" -m build --wheel --outdir "$work/dist" . >"$work/build.log" 2>&1 || { cat "$work/build.log" >&2; exit 1; }
"$venv/bin/python" -m venv "$work/empty"
"$work/empty/bin/python" -m pip install --quiet --disable-pip-version-check "$work"/dist/bayesgmm-*.whl

# Beside a clone called bayesgmm, which Python takes for a namespace package: the editable install comes first.
mkdir "$work/beside"
ln -s "$PWD" "$work/beside/bayesgmm"
(cd "$work/beside" && "$venv/bin/python" -c "import bayesgmm; bayesgmm.load_dataset")

# Somewhere else, so that the source tree cannot stand in for the wheel.
cd "$work"
empty/bin/bayesgmm compare faithful -k 2 --engines em,gibbs --warmup 50 --samples 100 --chains 2 --quiet --out out >compare.log
test -s out/report.html
empty/bin/python - <<'PY'
import importlib.util

import bayesgmm as bg

for name in bg.__all__:
    getattr(bg, name)
assert "site-packages" in bg.__file__, bg.__file__
assert len(bg.load_dataset("iris")) == 150
for name in ("pyarrow", "polars", "IPython", "sklearn"):
    assert importlib.util.find_spec(name) is None, f"a plain install brings {name}"
print(f"bayesgmm {bg.__version__}: the wheel installs and works in an empty environment")
PY
