"""Compiled programs in memory and on disk: what is read from disk, what is refused, and what happens without a disk."""

import functools
import os
import pickle
import stat
import subprocess
import sys
import time
import warnings
from concurrent.futures import ThreadPoolExecutor
from types import ModuleType, SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from oracles.effort import EFFORT, WHOLE
from typer.testing import CliRunner

import bayesgmm as bg
from bayesgmm.cli import app
from bayesgmm.errors import CacheWarning
from bayesgmm.runtime import executables, program_folder
from bayesgmm.runtime.arguments import as_key, derived_key, key_array, split_key
from bayesgmm.runtime.program_folder import read_program, write_program
from bayesgmm.runtime.programs import Program, stopwatch

POSIX = pytest.mark.skipif(os.name == "nt", reason="owners and modes of POSIX")


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """An empty folder for programs, which no warning has named yet."""
    monkeypatch.setenv("BAYESGMM_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(program_folder, "_told", set())
    monkeypatch.setattr(program_folder, "_not_written", set())
    return tmp_path / "cache" / "programs"


def known(function):
    """A program like those of the package: the key names the package, whose source is known."""
    module = sys.modules.setdefault("bayesgmm.of_tests", ModuleType("bayesgmm.of_tests"))
    function.__module__, function.__qualname__ = module.__name__, function.__name__
    setattr(module, function.__name__, function)
    return Program(function, static=("power",))


def double(x, power=1):
    return {"twice": 2.0 * x**power, "key": jax.random.key(0)}


def loaded_and_compiled(*args, **static):
    """One call as a new process would make it."""
    program = known(double)
    result = program(*args, **static)
    return result, (program.num_loads, program.num_compilations)


def test_a_program_is_read_from_disk_and_gives_the_same(folder):
    x = np.arange(4.0)
    first, counts = loaded_and_compiled(x)
    assert counts == (0, 1)
    second, counts = loaded_and_compiled(x)
    assert counts == (1, 0)
    assert np.array_equal(first["twice"], second["twice"])
    assert jnp.array_equal(jax.random.key_data(first["key"]), jax.random.key_data(second["key"]))


def test_results_of_a_loaded_program_have_the_type_that_jax_gives(folder):
    """JAX's pickle doubles its AutoLayout, and everything that takes such an array would be compiled again."""
    x = np.arange(5.0)
    loaded_and_compiled(x)
    result, counts = loaded_and_compiled(x)
    assert counts == (1, 0)
    assert jax.typeof(result["twice"]) == jax.typeof(2.0 * jnp.asarray(x))


@pytest.mark.parametrize(
    "change",
    [
        lambda patch: patch.setattr(executables, "_source", lambda: "another version of the package"),
        lambda patch: patch.setattr(executables, "_machine", lambda: ("another processor",)),
        lambda patch: patch.setenv("XLA_FLAGS", os.environ.get("XLA_FLAGS", "") + " "),
    ],
    ids=["source", "machine", "flags"],
)
def test_a_program_made_elsewhere_is_not_loaded(folder, monkeypatch, change):
    x = np.arange(6.0)
    loaded_and_compiled(x)
    change(monkeypatch)
    assert loaded_and_compiled(x)[1] == (0, 1)


def test_what_determines_a_program_is_in_its_key(folder):
    x = np.arange(7.0)
    with jax.enable_x64(True):
        loaded_and_compiled(x)
        assert loaded_and_compiled(x, power=2)[1] == (0, 1)
        assert loaded_and_compiled(x[:6])[1] == (0, 1)
        assert loaded_and_compiled(x.astype(int))[1] == (0, 1)
        assert loaded_and_compiled((x, x)[0])[1] == (1, 0)
    with jax.enable_x64(False):
        assert loaded_and_compiled(x)[1] == (0, 1)
    with jax.default_matmul_precision("float32"):
        assert loaded_and_compiled(x)[1] == (0, 1)


def test_machine_and_versions_are_in_the_key():
    words = " ".join(executables._machine())
    for name in ("jax", "jaxlib", "numpyro"):
        assert name in words
    assert "cpu" in words.lower()
    assert sys.version in executables._machine()


def test_functions_priors_and_guides_of_others_are_not_kept(folder):
    """Their source is not part of the key, so a change of it would not be noticed."""

    def guide():
        return None

    plain = jax.tree.structure((1, {"a": 2}))
    bearer = functools.wraps(known(double)._function)(lambda x, power=1: x)  # bears the name of another
    for function, static in ((bearer, {}), (guide, {}), (lambda x: x, {}), (known(double)._function, {"guide": guide})):
        assert executables.program_key(function, (), plain, static) is None
    own = jax.tree.structure(SimpleTree(1))
    assert executables.program_key(known(double)._function, (), own, {}) is None
    assert executables.program_key(known(double)._function, (), plain, {"size": 3}) is not None
    Program(guide)()
    assert not folder.exists() or not list(folder.glob("*.program"))


@jax.tree_util.register_pytree_node_class
class SimpleTree(SimpleNamespace):
    def __init__(self, leaf):
        super().__init__(leaf=leaf)

    def tree_flatten(self):
        return (self.leaf,), None

    @classmethod
    def tree_unflatten(cls, _, leaves):
        return cls(*leaves)


def test_a_callback_is_not_kept(folder):
    """A call of Python, or of a library other than LAPACK, cannot be found again by another process."""

    def told(x, power=1):
        jax.debug.callback(lambda value: None, x)
        return x + 1.0

    program = known(told)
    program(np.arange(3.0))
    assert not list(folder.glob("*.program"))


def run(script, environment, cache):
    environment = {**environment, "BAYESGMM_CACHE": str(cache)}
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("torn", [b"", b"bayesgmm program 1\n", None], ids=["empty", "head only", "half"])
def test_a_torn_file_is_compiled_again_and_replaced(folder, torn):
    x = np.arange(8.0)
    loaded_and_compiled(x)
    (path,) = folder.glob("*.program")
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2] if torn is None else torn)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert loaded_and_compiled(x)[1] == (0, 1)
    assert loaded_and_compiled(x)[1] == (1, 0)


def test_a_file_under_another_name_is_not_loaded(folder):
    write_program(b"one", b"content")
    program_folder._path(folder, b"one").rename(program_folder._path(folder, b"two"))
    assert read_program(b"two") is None


def test_content_that_cannot_be_loaded_is_compiled(folder):
    x = np.arange(9.0)
    program = known(double)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("bayesgmm.runtime.programs.to_bytes", lambda *args: pickle.dumps((False, (b"x", None, None))))
        program(x)
    assert loaded_and_compiled(x)[1] == (0, 1)


@POSIX
def test_the_folder_is_private(folder):
    loaded_and_compiled(np.arange(10.0))
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    (path,) = folder.glob("*.program")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


@POSIX
def test_a_file_that_others_may_write_is_not_read(folder):
    write_program(b"key", b"content")
    path = program_folder._path(folder, b"key")
    assert read_program(b"key") == b"content"
    path.chmod(0o666)
    assert read_program(b"key") is None
    target = folder / "elsewhere"
    path.rename(target)
    target.chmod(0o600)
    path.symlink_to(target)
    assert read_program(b"key") is None


def test_a_damaged_file_that_cannot_be_removed_is_not_read(folder, monkeypatch):
    write_program(b"key", b"content")
    path = program_folder._path(folder, b"key")
    path.write_bytes(path.read_bytes()[:-1] + b"?")

    def refuse(*args, **kwargs):
        raise PermissionError(30, "Read-only file system")

    monkeypatch.setattr(program_folder.Path, "unlink", refuse)
    assert read_program(b"key") is None


def test_a_disk_that_cannot_be_written_is_still_read(folder, monkeypatch):
    x = np.arange(16.0)
    loaded_and_compiled(x)
    original = os.open

    def read_only(path, flags, *args):
        if flags & os.O_WRONLY:
            raise OSError(30, "Read-only file system")
        return original(path, flags, *args)

    monkeypatch.setattr(os, "open", read_only)
    with pytest.warns(CacheWarning, match="Read-only"):
        assert loaded_and_compiled(x[1:])[1] == (0, 1)
    assert loaded_and_compiled(x)[1] == (1, 0)


def test_a_process_that_began_before_a_change_keeps_nothing(folder, monkeypatch):
    """It runs the old source; under the key of the new one its programs would be loaded by others."""
    executables._source.cache_clear()
    monkeypatch.setattr(executables, "STARTED", 0.0)
    assert [loaded_and_compiled(np.arange(17.0))[1] for _ in range(2)] == [(0, 1)] * 2
    assert not folder.exists()


def test_the_default_device_is_obeyed(folder, clean_environment):
    script = (
        "import jax, bayesgmm as bg\n"
        "from bayesgmm.runtime.arguments import _FOLD, as_key, derived_key\n"
        "one, two = jax.devices()\n"
        "here = derived_key(as_key(0), 1)\n"
        "with jax.default_device(two):\n"
        "    there = derived_key(as_key(0), 1)\n"
        "print(here.devices() == {one}, there.devices() == {two}, _FOLD.num_loads)\n"
    )
    environment = {**clean_environment, "XLA_FLAGS": "--xla_force_host_platform_device_count=2"}
    told = [run(script, environment, folder.parent).split() for _ in range(2)]
    assert told == [["True", "True", "0"], ["True", "True", "2"]]


def compiled_twice():
    for power in (1, 2):
        result, counts = loaded_and_compiled(np.arange(11.0), power=power)
        assert counts == (0, 1)
        assert result["twice"][2] == 2.0 * 2**power


def a_file(cache, patch):
    cache.write_text("a file")


def open_to_all(cache, patch):
    (cache / "programs").mkdir(parents=True)
    (cache / "programs").chmod(0o777)


def of_another_user(cache, patch):
    cache.mkdir()
    patch.setattr(os, "geteuid", lambda: cache.stat().st_uid + 1)


def not_writable(cache, patch):
    def refuse(*args, **kwargs):
        raise PermissionError(13, "Permission denied")

    patch.setattr(program_folder.Path, "mkdir", refuse)


@POSIX
@pytest.mark.parametrize(
    ("make", "words"),
    [
        (a_file, "is a file, not a folder"), (open_to_all, "Other users may write"),
        (of_another_user, "belongs to another user"), (not_writable, "Permission denied"),
    ],
)  # fmt: skip
def test_a_bad_path_warns_once_and_the_run_goes_on(folder, monkeypatch, make, words):
    with monkeypatch.context() as patch:
        make(folder.parent, patch)
        with pytest.warns(CacheWarning, match=words) as told:
            compiled_twice()
        assert len(told) == 1


@pytest.mark.parametrize("step", ["open", "replace"])
def test_a_full_disk_warns_once_and_leaves_nothing(folder, monkeypatch, step):
    def full(*args, **kwargs):
        raise OSError(28, "No space left on device")

    original = os.open
    if step == "open":
        monkeypatch.setattr(os, "open", lambda path, *args: full() if ".part" in str(path) else original(path, *args))
    else:
        monkeypatch.setattr(os, "replace", full)
    with pytest.warns(CacheWarning, match="No space left") as told:
        compiled_twice()
    assert len(told) == 1
    assert list(folder.iterdir()) == []


def test_off_keeps_nothing(folder, monkeypatch):
    monkeypatch.setenv("BAYESGMM_CACHE", "off")
    assert [loaded_and_compiled(np.arange(13.0))[1] for _ in range(2)] == [(0, 1)] * 2
    assert not folder.exists()
    assert "off" in repr(bg.cache_info())


def test_the_folder_stays_small_and_what_is_used_stays(folder, monkeypatch):
    monkeypatch.setattr(program_folder, "MOST_BYTES", 5000)
    for i in range(4):
        write_program(b"%d" % i, b"x" * 1000)
        os.utime(program_folder._path(folder, b"%d" % i), (i, i))
    assert read_program(b"0") is not None  # used now, so the second is the oldest
    left_over, fresh = folder / "left.part", folder / "fresh.part"
    for part in (left_over, fresh):
        part.write_bytes(b"")
    os.utime(left_over, (0, 0))
    write_program(b"4", b"x" * 1000)
    write_program(b"5", b"x" * 1000)
    assert read_program(b"0") is not None
    assert read_program(b"1") is None
    assert bg.cache_info().num_bytes <= 5000
    assert fresh.exists()
    assert not left_over.exists()


def test_clearing(folder):
    loaded_and_compiled(np.arange(14.0))
    assert "1 compiled programs" in CliRunner().invoke(app, ["cache"]).output.replace("\n", "")
    assert "Removed" in CliRunner().invoke(app, ["cache", "--clear"]).output
    assert bg.cache_info().num_programs == 0
    assert bg.clear_cache().num_programs == 0


def test_many_threads_compile_one_program_once(folder):
    program = known(double)
    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(program, [np.arange(15.0)] * 16))
    assert program.num_compilations == 1
    assert all(np.array_equal(results[0]["twice"], one["twice"]) for one in results)


@WHOLE
def test_many_processes_start_at_once_on_an_empty_cache(folder, clean_environment):
    script = (
        "import numpy as np, bayesgmm as bg\n"
        "x = np.random.default_rng(0).normal(size=(60, 2))\n"
        "print(bg.fit_em(x, 2, n_init=4).log_likelihood, bg.sample_gibbs(x, 2, num_samples=5).log_likelihood.sum())\n"
    )
    many = max(6, round(20 * EFFORT))
    with ThreadPoolExecutor(many) as pool:
        told = set(pool.map(lambda _: run(script, clean_environment, folder.parent), range(many)))
    assert len(told) == 1
    files = list(folder.iterdir())
    assert all(path.suffix == ".program" for path in files)
    assert len({path.name for path in files}) == len(files)
    assert told == {run(script, clean_environment, folder.parent)}


def test_waiting_for_another_thread_counts_as_compiling(folder):
    def slow(x, power=1):
        time.sleep(0.3)
        return x

    program = known(slow)
    with ThreadPoolExecutor(1) as pool, stopwatch() as clock:
        ahead = pool.submit(program.prepare, np.arange(3.0))
        time.sleep(0.05)
        program(np.arange(3.0))
        ahead.result()
    assert clock.compile_seconds > 0.1
    assert clock.run_seconds < 0.3
    assert program.num_compilations == 1


def test_keys_are_those_of_jax():
    key = as_key(7)
    assert jnp.array_equal(jax.random.key_data(key), jax.random.key_data(jax.random.key(7)))
    expected = jax.random.split(key, 3)
    for mine in (key_array(key, 3), jnp.stack(split_key(key, 3))):
        assert jnp.array_equal(jax.random.key_data(mine), jax.random.key_data(expected))
    folded = jax.random.fold_in(key, 5)
    assert jnp.array_equal(jax.random.key_data(derived_key(key, 5)), jax.random.key_data(folded))


def test_a_new_process_compiles_nothing_that_is_on_disk(folder, clean_environment):
    """Neither programs nor single operations; nor does it import what only tracing needs.

    JAX looks up LAPACK's functions when it compiles a call. A process that only loaded the draws of Laplace crashed
    with a jump to address 0.
    """
    script = (
        "import sys; sys.path.insert(0, 'tests')\n"
        "import numpy as np, bayesgmm as bg\n"
        "from oracles.compilations import compilations\n"
        "x = np.random.default_rng(0).normal(size=(60, 2))\n"
        "with compilations() as found:\n"
        "    fit = bg.fit_em(x, 2, n_init=4)\n"
        "    draws = bg.sample_gibbs(x, 2, num_samples=5, num_warmup=0)\n"
        "    imported = {'numpyro', 'arviz', 'pandas', 'xarray'} & set(sys.modules)\n"
        "    laplace = bg.fit_laplace(x, 2, num_samples=20, progress_bar=False)\n"
        "from bayesgmm.engines.variational.laplace import _DRAWS\n"
        "print(found.count('one operation'), len(imported), _DRAWS.num_loads)\n"
        "print(fit.log_likelihood, draws.log_likelihood.sum(), laplace.log_likelihood.sum())\n"
    )
    first, second = (run(script, clean_environment, folder.parent).splitlines() for _ in range(2))
    compiled, imported, loads = map(int, first[0].split())
    assert compiled > 5
    assert imported == loads == 0
    assert second[0] == "0 0 1"
    assert first[1] == second[1]
