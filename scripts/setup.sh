#!/usr/bin/env bash
# Create a virtual environment with bayesgmm and the dependencies of its tests. Usage: scripts/setup.sh .venv
set -euo pipefail
venv=${1:-.venv}

good() { "$1" -c 'import sys; sys.exit(sys.version_info < (3, 12))' >/dev/null 2>&1; }

find_python() {
    local candidate
    for candidate in "${PYTHON:-}" python3.14 python3.13 python3.12 python3 python "${HOME:-}"/.pyenv/versions/3.1[2-9]*/bin/python; do
        if [ -n "$candidate" ] && good "$candidate"; then
            echo "$candidate"
            return
        fi
    done
    return 1
}

# Of pip's lines: every twentieth package, large downloads, and the last step, which takes long.
summary() {
    local line name packages=0
    while IFS= read -r line; do
        case "$line" in
        Collecting\ *)
            packages=$((packages + 1))
            if [ $((packages % 20)) = 0 ]; then echo "  $packages packages so far"; fi
            ;;
        *Downloading\ *[0-9][0-9].[0-9]\ MB\)* | *Downloading\ *[0-9][0-9]\ MB\)*)
            name=${line#*Downloading }
            echo "  downloading ${name%%-*} (${line##*(}"
            ;;
        Installing\ collected*) echo "  installing all of them (a minute or more)" ;;
        esac
    done
}

if command -v uv >/dev/null 2>&1; then
    echo "Setting up $venv with uv, which downloads about 350 MB the first time."
    uv venv --quiet --allow-existing "$venv"
    uv pip install --python "$venv/bin/python" -e '.[dev]' 2>&1 | { grep -v '^ [-+~] ' || true; }
    exit 0
fi

if [ -n "${PYTHON:-}" ] && ! good "$PYTHON"; then
    echo "PYTHON=$PYTHON does not run, or it is older than Python 3.12." >&2
    exit 1
fi

if ! python=$(find_python); then
    echo "bayesgmm needs Python 3.12 or newer. The path and ~/.pyenv have none." >&2
    echo "Install it (pyenv install 3.12, or python.org), or give its path: make demo PYTHON=/path/to/python3.12" >&2
    exit 1
fi
echo "Setting up $venv with $("$python" --version). This takes some minutes: pip downloads about 350 MB the first time."
"$python" -m venv --clear "$venv"
log=$venv/setup.log
if ! "$venv/bin/python" -m pip install --disable-pip-version-check --progress-bar off -e '.[dev]' 2>&1 | tee "$log" | summary; then
    echo "pip failed. The end of $log:" >&2
    tail -n 20 "$log" >&2
    exit 1
fi
echo "$venv is ready after $((SECONDS / 60)) min $((SECONDS % 60)) s."
