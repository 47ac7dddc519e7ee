"""Structure of the package: imports point down, `step` alone composes the updates, small files, a light import."""

import ast
import builtins
import json
import re
import statistics
import subprocess
import sys
from pathlib import Path

import pytest

import bayesgmm as bg

PACKAGE = Path(bg.__file__).parent
TESTS = Path(__file__).parent
ORDER = (
    "version", "errors", "numerics", "runtime", "data", "model", "priors", "sweep", "distributions", "problem", "curvature",
    "plots", "results", "engines", "relabelling", "marginal_likelihood", "selection", "diagnosis", "partitions", "checking",
    "model_choice", "comparison", "studies", "sklearn", "saving", "cli",
)  # fmt: skip
"""The folders (and single files) in reading order. A file imports its own folder and earlier ones only."""
LONGEST_FILE, LONGEST_FUNCTION, MEDIAN_FUNCTION = 300, 60, 8
FILES = sorted(PACKAGE.rglob("*.py"))


def module_name(path: Path) -> str:
    return ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts).removesuffix(".__init__")


MODULES = {module_name(path) for path in FILES}


def home(module: str) -> str:
    """The folder, or single file, directly below the package."""
    return module.split(".")[1]


def imported(path: Path) -> set[str]:
    """Modules of the package that a file imports: at its top, in functions, for types, and by name."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            for alias in node.names:
                whole = f"{node.module}.{alias.name}"
                found.add(whole if whole in MODULES else str(node.module))
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            found |= set(re.findall(r"^(bayesgmm(?:\.\w+)+):?\w*$", node.value))
    return {name for name in found if name.split(".")[0] == "bayesgmm"}


GRAPH = {module_name(path): imported(path) for path in FILES if path.parent != PACKAGE or path.stem != "__init__"}


def test_every_folder_has_its_place():
    assert {home(module) for module in GRAPH} == set(ORDER)


@pytest.mark.parametrize("module", sorted(GRAPH))
def test_imports_point_down(module):
    for target in GRAPH[module]:
        assert target in MODULES, f"{module} imports {target}, which is not there"
        assert target != "bayesgmm", f"{module} imports the package itself"
        assert ORDER.index(home(target)) <= ORDER.index(home(module)), f"{module} imports {target}, which comes later"


def test_there_are_no_import_cycles():
    state: dict[str, str] = {}

    def visit(module: str, path: tuple[str, ...]) -> None:
        state[module] = "open"
        for target in sorted(GRAPH.get(module, ())):
            assert state.get(target) != "open", f"circle: {' → '.join([*path, module, target])}"
            if target not in state:
                visit(target, (*path, module))
        state[module] = "done"

    for module in sorted(GRAPH):
        if module not in state:
            visit(module, ())


def test_no_folder_bears_the_name_of_a_public_function():
    """Importing it would replace the function on the package."""
    folders = {path.stem for path in PACKAGE.iterdir()}
    assert not folders & set(bg.__all__)


# --- One composition of z given θ and θ given z ---

PASSES = {"sweep", "expected_statistics", "complete_data"}
"""Functions of `bayesgmm.sweep` that update z given θ and accumulate its statistics."""
UPDATES = {"update", "mode", "sample", "estimate"}
"""Methods that update θ given the statistics of z."""


def called(node: ast.AST) -> set[str]:
    functions = [child.func for child in ast.walk(node) if isinstance(child, ast.Call)]
    names = {function.id for function in functions if isinstance(function, ast.Name)}
    return names | {f".{function.attr}" for function in functions if isinstance(function, ast.Attribute)}


def functions_of(path: Path):
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]


def composes(node: ast.AST) -> bool:
    """Whether a function calls a pass over the rows and then updates θ."""
    names = called(node)
    return bool(names & PASSES) and any(f".{update}" in names for update in UPDATES)


def test_step_is_the_only_composition():
    found = [
        (module_name(path), node.name)
        for path in FILES if "sweep" not in path.relative_to(PACKAGE).parts for node in functions_of(path) if composes(node)
    ]  # fmt: skip
    assert found == [("bayesgmm.engines.step", "step")]
    # Only `step` and the folder of the sweep import the pass; only `step` calls the parts of a kernel.
    importers = {module for module, targets in GRAPH.items() if "bayesgmm.sweep.statistics" in targets}
    assert importers == {
        "bayesgmm.engines.step", "bayesgmm.sweep.likelihood", "bayesgmm.sweep.densities", "bayesgmm.sweep.parts"
    }  # fmt: skip
    for path in FILES:
        for node in functions_of(path):
            parts = called(node) & {".score", ".estimate"}
            home = module_name(path) == "bayesgmm.engines.step" and node.name in ("step", "asked")
            assert not parts or home, (path, node.name)


def test_a_second_composition_would_be_found():
    """Negative control: a second implementation of EM must fail."""
    code = """
def em(params, prior, rows):
    stats = expected_statistics(params, rows)
    return prior.update(stats).mode(params)
"""
    assert composes(ast.parse(code).body[0])


@pytest.mark.parametrize(
    ("module", "function"),
    [("em/ascent", "_iterate"), ("mcmc/gibbs", "_sweep"), ("mcmc/tempering", "tempered_step"),
     ("variational/cavi_iterations", "_iterate"), ("mini_batches", "moved"), ("em/online", "_first")],
)  # fmt: skip
def test_every_row_of_the_table_takes_the_one_step(module, function):
    node = next(node for node in functions_of(PACKAGE / f"engines/{module}.py") if node.name == function)
    assert "step" in called(node)


# --- One record per engine, one access to the rows ---


def test_nothing_compares_engine_names():
    """Code reads the properties of an engine from its record; only its file and the registry contain its name."""
    names = {"mle", "cavi", "svi", "laplace", "exact", "gibbs", "nuts"}
    for path in FILES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Compare):
                constants = {
                    c.value for c in ast.walk(node) if isinstance(c, ast.Constant) and isinstance(c.value, str)
                }
                assert not constants & names, f"{path}:{node.lineno} compares {constants & names}"


def test_only_the_sweep_scores_rows():
    """Only `sweep` computes scores of rows, so a new kind of row (weights, missing values) needs one change."""
    allowed = {"bayesgmm.sweep.block", "bayesgmm.sweep.impute", "bayesgmm.sweep.likelihood", "bayesgmm.engines.step"}
    allowed |= {"bayesgmm.sweep.densities"}  # rows of the distribution of NumPyro
    allowed |= {"bayesgmm.engines.mcmc.tempering", "bayesgmm.engines.variational.cavi_batches"}  # rows of the table
    allowed |= {"bayesgmm.model.mixture", "bayesgmm.diagnosis.density_modes"}  # the equations; modes of one density
    for path in FILES:
        if module_name(path) not in allowed:
            assert "log_joint_scorer" not in path.read_text(encoding="utf-8"), path
    # The equations themselves are for users; inside, they simulate, draw curves on a grid, and explain.
    importers = {module for module, targets in GRAPH.items() if "bayesgmm.model.mixture" in targets} - allowed
    assert importers == {
        "bayesgmm.sweep.completion", "bayesgmm.sweep.incomplete",
        "bayesgmm.results.fit", "bayesgmm.engines.mcmc.nuts_with_labels", "bayesgmm.engines.em.bootstrap",
        "bayesgmm.sweep.statistics", "bayesgmm.sweep.in_use", "bayesgmm.sweep.passed", "bayesgmm.sweep.from_disk",
        "bayesgmm.sweep.parts", "bayesgmm.sweep.in_dask", "bayesgmm.sweep.of_processes", "bayesgmm.sweep.fetched",
    }  # fmt: skip


# --- Size ---


@pytest.mark.parametrize("path", FILES, ids=module_name)
def test_files_stay_small(path):
    assert len(path.read_text(encoding="utf-8").splitlines()) <= LONGEST_FILE, f"{path.name} should be two files"


def code_lines(node: ast.FunctionDef) -> int:
    """Lines of a function without its docstring."""
    lines = (node.end_lineno or 0) - node.lineno + 1
    if ast.get_docstring(node) is not None:
        lines -= (node.body[0].end_lineno or 0) - node.body[0].lineno + 1
    return lines


def test_functions_stay_short():
    lengths = {f"{module_name(path)}.{node.name}": code_lines(node) for path in FILES for node in functions_of(path)}
    assert statistics.median(lengths.values()) < MEDIAN_FUNCTION
    assert {name: length for name, length in lengths.items() if length > LONGEST_FUNCTION} == {}


def test_every_name_is_defined():
    """Ruff and pyright cannot look: the shapes of jaxtyping are names without a definition."""
    for path in FILES:
        tree = ast.parse(path.read_text(encoding="utf-8"))
        bound = {*dir(builtins), "__file__", "__name__"}
        used = {}
        for node in ast.walk(tree):
            if isinstance(node, ast.Name):
                if isinstance(node.ctx, ast.Load):
                    used.setdefault(node.id, node.lineno)
                else:
                    bound.add(node.id)
            elif isinstance(node, ast.Import | ast.ImportFrom):
                bound |= {(alias.asname or alias.name).split(".")[0] for alias in node.names}
            elif isinstance(node, ast.arg):
                bound.add(node.arg)
            elif isinstance(node, ast.ExceptHandler | ast.FunctionDef | ast.ClassDef | ast.TypeVar | ast.ParamSpec):
                bound.add(node.name)
        unknown = {name: line for name, line in used.items() if name not in bound}
        assert not unknown, f"{path}: {unknown}"


def test_lines_stay_short():
    for path in FILES:
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            assert len(line) <= 120, f"{path}:{number}"


# --- Tests ---


def test_tests_mirror_the_folders_and_import_no_other_test():
    for path in TESTS.rglob("test_*.py"):
        folder = path.relative_to(TESTS).parent
        assert folder in (Path(), Path("fuzz"), Path("docs")) or (PACKAGE / folder).is_dir(), (
            f"{folder} mirrors no folder"
        )
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and node.module:
                assert "test_" not in node.module, f"{path} imports {node.module}"


# --- The import ---


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


def test_engines_load_only_when_asked_for(clean_environment):
    """The table of engines lists names without importing JAX; NumPyro loads only for engines that need it."""
    code = """
import json, sys
from bayesgmm.engines.engine import engine_names, find_engine
names = engine_names()
light = [m for m in ("jax", "numpyro") if m in sys.modules]
find_engine("gibbs"), find_engine("em")
print(json.dumps([names, light, "numpyro" in sys.modules]))
"""
    names, light, numpyro = json.loads(run(code, clean_environment))
    assert {"em", "mle", "cavi", "svi", "laplace", "gibbs", "nuts"} <= set(names)
    assert (light, numpyro) == ([], False)


def test_every_public_name_is_there():
    for name in bg.__all__:
        assert getattr(bg, name).__doc__, name
    assert set(dir(bg)) >= set(bg.__all__)


def test_version_is_that_of_the_package():
    from importlib.metadata import version

    assert bg.__version__ == version("bayesgmm")
