"""The plan of the house: layers point down, the import is light, nothing global moves."""

import ast
import subprocess
import sys
from pathlib import Path

import bayesgmm as bg

PACKAGE = Path(bg.__file__).parent
LAYERS = [
    {
        "arrays",
        "errors",
        "precision",
        "linalg",
        "types",
        "datasets",
        "clock",
        "tables",
        "progress",
        "interrupt",
        "checkpoint",
        "uniformity",
        "hyperparameters",
        "assignment",
    },
    {"dirichlet"},
    {"conjugate", "data", "mixture", "partition_distance"},
    {"families", "wishart", "partition_search", "outside"},
    {"restricted", "independent", "separated"},
    {"sweep", "model"},
    {"problem", "kernels"},
    {"acceleration", "tempering"},
    {"initialize", "drivers", "blocks", "coordinates"},
    {"search", "panel"},
    {"labels", "diagnostics", "datatree", "predict"},
    {"results", "posterior"},
    {"chains", "fits", "draws"},
    {"allocations", "partition_draws"},
    {"naming", "pivots", "credible_ball"},
    {"relabelled"},
    {"relabelling", "modes"},
    {"invariants"},
    {"chain_groups"},
    {"em", "selection", "sampling", "approximation", "forward", "explicit", "stochastic"},
    {"cavi", "gibbs", "laplace", "nuts", "svi"},
    {"plots", "verdict"},
    {"engines", "calibration", "moment_matching", "refits", "partitions", "missed_modes"},
    {"diagnosis_words"},
    {"diagnosis"},
    {"crossvalidation", "partition_agreement"},
    {"pit", "replicates"},
    {"checking"},
    {"comparison"},
    {"report", "printing"},
    {"cli"},
]
SAME_LAYER = {
    ("precision", "errors"),
    ("checkpoint", "errors"),
    ("hyperparameters", "errors"),
    ("types", "linalg"),
    ("types", "arrays"),
    ("linalg", "arrays"),
    ("datasets", "errors"),
    ("panel", "search"),
    ("separated", "restricted"),
    ("diagnosis_words", "diagnosis"),
}
LATE = {("comparison", "report"), ("calibration", "plots")}
"""Loaded inside one method: a comparison knows how to write its report."""


def imports(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("bayesgmm"):
            parts = node.module.split(".")
            found |= {parts[1]} if len(parts) > 1 else {alias.name for alias in node.names} - {"__version__"}
    return found


def module_of(path: Path) -> str:
    relative = path.relative_to(PACKAGE)
    return relative.parts[0] if len(relative.parts) > 1 else relative.stem


def test_imports_point_down():
    level = {name: i for i, names in enumerate(LAYERS) for name in names}
    for path in PACKAGE.rglob("*.py"):
        module = module_of(path)
        if module == "__init__":
            continue
        assert module in level, f"{module} has no place in LAYERS"
        for target in imports(path) - {module}:
            allowed = level[target] < level[module] or (module, target) in SAME_LAYER | LATE
            assert allowed, f"{module} imports {target}, which is not below it"


def test_files_stay_small():
    for path in PACKAGE.rglob("*.py"):
        assert len(path.read_text().splitlines()) <= 320, f"{path.name} is asking to be two files"


def run(code: str, env) -> str:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=env).stdout


def test_import_is_light_and_changes_no_configuration(clean_environment):
    code = """
import sys, jax
before = dict(jax.config.values)
import bayesgmm
heavy = [m for m in ("numpyro", "arviz", "arviz_stats", "matplotlib", "pandas", "xarray", "scipy.optimize") if m in sys.modules]
print(heavy, before == dict(jax.config.values))
"""
    assert run(code, clean_environment).strip() == "[] True"


def test_every_public_name_is_there():
    for name in bg.__all__:
        assert getattr(bg, name).__doc__, name
    assert set(dir(bg)) >= set(bg.__all__)


def test_version_is_that_of_the_package():
    from importlib.metadata import version

    assert bg.__version__ == version("bayesgmm")
