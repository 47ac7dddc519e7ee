"""The command ``bayesgmm simulate``."""

from typing import Annotated, Any

import typer

from bayesgmm.cli.one_file import one_file, put_csv
from bayesgmm.comparison.options import in_its_options
from bayesgmm.errors import ArgumentError
from bayesgmm.runtime.arguments import as_key, check_count, derived_key

MOST_VALUES = 10**8
"""Most values of a simulated table."""


@in_its_options
def simulate(
    k: Annotated[int, typer.Option("-k", "--components", help="Number of components.")] = 3,
    d: Annotated[int, typer.Option("-d", "--features", help="Number of features.")] = 2,
    n: Annotated[int, typer.Option("-n", "--rows", help="Number of rows.")] = 500,
    overlap: Annotated[
        float, typer.Option(help="Mean overlap of two components: 0.001 is well separated, 0.1 is hard.")
    ] = 0.01,
    imbalance: Annotated[float, typer.Option(help="Largest weight divided by the smallest.")] = 1.0,
    family: Annotated[str, typer.Option(help="Covariances: full, tied, diag or spherical.")] = "full",
    labels: Annotated[
        bool, typer.Option("--labels", help="A further column, class: the component of each row.")
    ] = False,
    out: Annotated[
        str | None, typer.Option(metavar="FILE.csv", help="File to write, in place of standard output.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Random seed, of the mixture and of its rows.")] = 0,
) -> None:
    """Draw rows from a random mixture of a given overlap (MixSim); print them as CSV.

    The mixture is bg.random_mixture(k, d, overlap=…, imbalance=…, seed=…).
    """
    from bayesgmm.results.mixture import Mixture
    from bayesgmm.studies.random_mixtures import random_mixture

    num = check_count("n", n)
    output, name = one_file(out, ".csv")
    params = random_mixture(k, d, overlap=overlap, imbalance=imbalance, covariance_type=family, seed=seed)
    if num * d > MOST_VALUES:
        raise ArgumentError(f"-n {num} rows of {d} features are more than {MOST_VALUES:,} values. Draw fewer rows.")
    features = tuple(f"x{i}" for i in range(d))
    classes, rows = Mixture(params, features).sample(num, derived_key(as_key(seed), 1))
    put_csv(_csv(rows, features, classes if labels else None), num, output, name)


def _csv(rows: Any, features: tuple[str, ...], classes: Any) -> str:
    import pandas as pd

    frame = pd.DataFrame(rows, columns=list(features))
    return (frame if classes is None else frame.assign(**{"class": classes})).to_csv(index=False, lineterminator="\n")
