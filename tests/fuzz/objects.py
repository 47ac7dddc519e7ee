"""The names that the text of a call uses: modules, small data, and cheap results, each made once when it is first used."""

import contextlib
import dataclasses
import decimal
import fractions
import functools
import io
import os
import sys
import tempfile
import warnings
from pathlib import Path
from unittest import mock

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import scipy.sparse as sparse
import xarray as xr

import bayesgmm as bg
from bayesgmm.errors import BayesGMMError

TMP = Path(tempfile.mkdtemp(prefix="bayesgmm-fuzz-"))
"""Every path that a call writes to is below this folder, which is also the working directory."""
CHEAP = {"num_warmup": 4, "num_samples": 60, "num_chains": 2, "seed": 0, "progress_bar": False}
"""As in `BASE` of `fuzz.callables`: the valid calls and these results share their programs."""


class Refused(BayesGMMError):
    """The command line ended with exit code 2 and a message."""


def _frozen(values: np.ndarray) -> np.ndarray:
    values.flags.writeable = False
    return values


_rng = np.random.default_rng(1)
Z = _frozen(np.repeat([0, 1], 20))
X2 = _frozen(_rng.standard_normal((40, 2)) + 4.0 * Z[:, None])
X1 = _frozen(X2[:, :1].copy())
P2 = bg.Params(np.array([0.4, 0.6]), np.array([[0.0, 0.0], [4.0, 4.0]]), np.stack([np.eye(2)] * 2))
P1 = bg.Params(np.array([0.4, 0.6]), np.array([[0.0], [4.0]]), np.ones((2, 1, 1)))
P3 = bg.Params(np.full(3, 1 / 3), np.array([[0.0, 0.0], [4.0, 4.0], [2.0, 2.0]]), np.stack([np.eye(2)] * 3))
L2 = _frozen((_rng.random((2, 8, 40)) < 0.1) ^ Z.astype(bool)).astype(int)
D2 = {
    "weights": _rng.dirichlet([5.0, 5.0], (2, 8)),
    "means": P2.means + 0.1 * _rng.standard_normal((2, 8, 2, 2)),
    "covariances": np.eye(2) * _rng.uniform(0.5, 2.0, (2, 8, 2, 1, 1)),
}
TREE = xr.DataTree.from_dict({
    "posterior": xr.Dataset(
        {name: (("chain", "draw", "component", "feature", "other")[: values.ndim], values) for name, values in D2.items()}
    ),
    "observed_data": xr.Dataset({"x": (("row", "feature"), X2)}),
})  # fmt: skip


def _beliefs() -> list[bg.Prior]:
    parts = [
        bg.NormalInverseWishart(0.0, 0.1, 5.0, np.eye(2)), bg.NormalInverseGamma(0.0, 0.1, 3.0, 1.0),
        bg.NormalTimesInverseWishart(0.0, 10.0 * np.eye(2), 5.0, np.eye(2)),
        bg.HierarchicalInverseWishart(0.0, 10.0 * np.eye(2), 5.0, 5.0, np.eye(2)),
        bg.NormalTimesLKJ(0.0, 10.0 * np.eye(2), 2.0, bg.HalfNormal(1.0)),
    ]  # fmt: skip
    return [bg.Prior(bg.Dirichlet(2.0), part).expand(2, 2) for part in parts]


OTHERS = _beliefs()
PRIOR = OTHERS[0]


def quiet(make):
    """Make a result once, without the warnings about its few draws."""

    @functools.cache
    def made():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return make()

    return made


fit = quiet(lambda: bg.fit_em(X2, 2, n_init=2, progress_bar=False))
gibbs = quiet(lambda: bg.sample_gibbs(X2, 2, **CHEAP))
nuts = quiet(lambda: bg.sample_nuts(X2, 2, max_tree_depth=3, **CHEAP))
_FEW = {name: value for name, value in CHEAP.items() if name != "num_warmup"}
cavi = quiet(lambda: bg.fit_cavi(X2, 2, n_init=2, **_FEW))
svi = quiet(lambda: bg.fit_svi(X2, 2, num_steps=20, num_particles=2, **_FEW))
laplace = quiet(lambda: bg.fit_laplace(X2, 2, **_FEW))
exact = quiet(lambda: bg.sample_exact(X2[:6], 2, **_FEW))
telescoped = quiet(lambda: bg.sample_telescoping(X2, max_components=5, **CHEAP))
walked = quiet(lambda: bg.walk(X2, 2, num_steps=3))
profiled = quiet(lambda: fit().profile("means[0, x0]"))
regression = quiet(lambda: gibbs().regress("x1", X2[:, 0]))
region = quiet(lambda: gibbs().mixture.highest_density_region(0.5, num_draws=200))
study = quiet(lambda: bg.study(P2, n=40, num_replicates=2, engines=("em", "gibbs"), test_rows=20, **CHEAP))
comparison = quiet(lambda: bg.compare(X2, 2, engines=("em", "gibbs"), n_init=2, reference=gibbs(), **CHEAP))
by_class = quiet(lambda: bg.fit_classes(X2, Z, 1, "VVV", progress_bar=False))
table = quiet(lambda: bg.fit_table(X2, [1, 2], ["VVV", "EII"], n_init=2, progress_bar=False))
part = quiet(lambda: bg.partition(gibbs(), num_starts=2, progress_bar=False))
merging = quiet(lambda: bg.merge(gibbs()))
selection = quiet(lambda: bg.select(X2, [1, 2], families="EEI", criteria=("bic", "loo"), n_init=2, **CHEAP))
ball = quiet(lambda: part().credible_ball(0.5))
distances = quiet(lambda: bg.partition_distances({"a": fit(), "b": gibbs()}))
relabelling = quiet(lambda: bg.relabel(gibbs()))
found_evidence = quiet(lambda: bg.evidence(gibbs(), progress_bar=False))
diagnosis = quiet(lambda: bg.diagnose(gibbs(), search=False))
calibration = quiet(lambda: bg.calibrate(X2, 2, n_sims=2, **CHEAP))
predictive = quiet(lambda: bg.predictive_checks(gibbs(), num=20))
model_check = quiet(lambda: bg.check(gibbs(), progress_bar=False))
elpd = quiet(lambda: bg.loo(gibbs(), progress_bar=False))
pits = quiet(lambda: bg.loo_pit(gibbs(), progress_bar=False))
sensitivity = quiet(lambda: bg.prior_sensitivity(gibbs()))
view = quiet(lambda: bg.label_invariant_view(gibbs()))
prior_draws = quiet(lambda: bg.sample_prior(X2, 2, num_samples=60))
cut = quiet(lambda: bg.fit_em(X2[:30], 2, n_init=2, progress_bar=False))


fit_of_names = quiet(lambda: bg.fit_em(pd.DataFrame(X2, columns=["a/b", "../ü!"]), 2, n_init=2, progress_bar=False))


OF_NUMBERS = {
    **{
        part: lambda made: {"components": made}
        for part in (
            bg.UniformComponents, bg.GeometricComponents, bg.PoissonComponents, bg.BetaNegativeBinomialComponents,
            bg.FixedComponents,
        )
    },
    **{part: lambda made: {"concentration": made} for part in (bg.Static, bg.Dynamic)},
    **{part: lambda made: {"concentration": bg.Dynamic(made)} for part in (bg.Gamma, bg.FDistribution)},
}  # fmt: skip
"""How the priors of the number of components and of the concentration are used."""


def used(part):
    """Make a prior, or a part of one, and draw from it: a wrong hyperparameter must be refused, or draws be finite."""

    def make(**hyperparameters):
        made = part(**hyperparameters)
        if part in OF_NUMBERS:
            return bg.sample_telescoping(X2, **CHEAP, **OF_NUMBERS[part](made), max_components=5).posterior_of_k()
        if part in (bg.HalfNormal, bg.LogNormal):
            made = bg.NormalTimesLKJ(0.0, np.eye(2), 1.0, made)
        if part in (bg.Dirichlet, bg.StickBreaking):
            made = bg.Prior(made, PRIOR.components)
        if part is not bg.Prior and not isinstance(made, bg.Prior):
            made = bg.Prior(bg.Dirichlet(2.0), made)
        return bg.sample_prior(X2, 2, prior=made, num_samples=60)["prior"].to_dataset()

    return make


def mixture_use(weights, means, covariances, given):
    """Every figure of a conditional of given parameters."""
    found = bg.from_parameters(weights, means, covariances).conditional(given)
    region = found.highest_density_region(0.5, num_draws=200)
    ends = found.quantile([0.01, 0.99]) if len(found.features) == 1 else found.mean
    return [found.mean, found.covariance, ends, region.to_frame(), repr(found), found.sample(3, 0)]


def distribution_use(weights, means, covariances, x):
    """Every figure of the distribution of NumPyro, with its values checked. Rows that are not finite have NaN, as there."""
    made = bg.distributions.GaussianMixture(weights, means, covariances, validate_args=True)
    drawn = made.sample(jr.key(0), (2,))
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Out-of-support values")  # of NumPyro, for infinite rows
        of_rows = [np.nan_to_num(part) for part in (made.log_prob(x), made.class_probabilities(x))]
    return [*of_rows, made.mean, made.covariance, np.asarray(drawn)]


def axes():
    import matplotlib.pyplot as plt

    return plt.subplots()[1]


def figure():
    import matplotlib.pyplot as plt

    return plt.figure()


def in_folder(function, folder):
    """Call a function of the cache with another folder, so that the programs of this run stay."""
    with mock.patch.dict(os.environ, {"BAYESGMM_CACHE": str(folder).replace("\0", "0")}):
        return function()


def cli(*words: str) -> str:
    """The command line in this process. Exit code 0: its output; 2: `Refused`; anything else is raised."""
    from bayesgmm.cli import main

    out, err = io.StringIO(), io.StringIO()
    with (
        mock.patch.object(sys, "argv", ["bayesgmm", *words]),
        mock.patch.object(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"a,b\n1,2\n3,4.5\n2.5,1\n0,3\n"))),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
    ):
        try:
            main()
        except SystemExit as end:
            if end.code == 2 and err.getvalue().strip():
                raise Refused(err.getvalue()) from None
            if end.code not in (0, None):
                raise RuntimeError(f"exit code {end.code}: {err.getvalue()[-300:]}") from None
    return out.getvalue()


STUDY = """
n = 40
num_replicates = 1
engines = ["em"]
[truths.a]
weights = [0.5, 0.5]
means = [[0.0, 0.0], [5.0, 5.0]]
covariances = [[[1.0, 0.0], [0.0, 1.0]], [[1.0, 0.0], [0.0, 1.0]]]
"""


def files() -> None:
    """Files for the command line and for paths, in the working directory."""
    os.chdir(TMP)
    Path("file.txt").write_text("no numbers here\n")
    Path("empty.csv").write_text("")
    Path("zeros.csv").write_bytes(b"\0" * 100)
    Path("binary.parquet").write_bytes(bytes(range(256)))
    Path("broken.nc").write_bytes(b"CDF\1" + bytes(100))
    Path("broken.csv.gz").write_bytes(b"\x1f\x8b" + bytes(20))
    Path("loop").symlink_to("loop")
    os.mkfifo("fifo")
    frame = pd.DataFrame(X2, columns=["a", "b"])
    Path("study.toml").write_text(STUDY)
    Path("bad.toml").write_text(STUDY.replace("[0.5, 0.5]", "[0.5, 'x']"))
    frame.to_csv("data.csv", index=False)
    frame.to_csv("semicolon.csv", index=False, sep=";", decimal=",")
    frame.to_csv("bare.csv", index=False, header=False)
    frame.to_csv("data.tsv", index=False, sep="\t")
    frame.to_csv("DATA.CSV", index=False)
    frame.to_parquet("data.parquet")
    frame.to_feather("data.feather")
    np.save("rows.npy", X2)
    Path("rows").mkdir(exist_ok=True)
    for part in range(2):
        frame[20 * part : 20 * part + 20].to_parquet(f"rows/{part}.parquet")
    frame.assign(b=np.nan).to_parquet("gaps.parquet")
    frame[:0].to_parquet("nothing.parquet")
    Path("cut.parquet").write_bytes(Path("data.parquet").read_bytes()[:-9])
    np.save("cube.npy", np.zeros((2, 3, 4)))
    Path("no_rows").mkdir(exist_ok=True)
    frame.assign(c="text").to_csv("text.csv", index=False)
    frame.assign(b=np.nan).to_csv("missing.csv", index=False)
    frame.rename(columns={"a": "a,1", "b": "$b_"}).to_csv("names.csv", index=False)
    Path("ragged.csv").write_text("a,b\n1,2\n3\n4,5,6\n")
    for name in ("bare.nc", "bare.zarr"):
        bg.save(fit(), name, data=False)
    bg.save(fit(), "fit.nc")
    Path("link.nc").symlink_to("fit.nc")
    Path("loop.nc").symlink_to("loop.nc")
    Path("cut.nc").write_bytes(Path("fit.nc").read_bytes()[:-9])
    Path("pickle.nc").write_bytes(b"\x80\x05cos\nsystem\n")
    Path("empty.nc").write_bytes(b"")
    Path("folder.nc").mkdir()
    Path("other.zarr").mkdir()
    os.mkfifo("fifo.nc")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        gibbs().datatree.to_netcdf("draws.nc")
        xr.Dataset({"w": (("chain", "draw", "component"), D2["weights"])}).to_netcdf("other.nc")


def names() -> dict:
    import arviz as az
    import numpyro
    import numpyro.infer.autoguide as npg

    return {**globals(), "az": az, "npr": numpyro, "npg": npg}


__all__ = ["NAMES", "dataclasses", "decimal", "fractions", "jax", "jnp", "jr", "pa", "pl", "sparse"]
NAMES = names()
