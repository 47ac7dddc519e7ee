"""The command ``bayesgmm telescoping``."""

import warnings
from typing import Annotated, Any

import typer

from bayesgmm.cli.as_json import of_number, print_json, with_json
from bayesgmm.cli.one_file import one_file
from bayesgmm.cli.options import AsJson, Chains, Columns, Data, Family, Quiet, Samples, Save, Seed, Warmup, Weights
from bayesgmm.comparison.endings import finish, stoppable
from bayesgmm.comparison.options import in_its_options
from bayesgmm.comparison.terminal import print_number, say
from bayesgmm.errors import ArgumentError, MixingWarning, visible
from bayesgmm.priors.concentration import Dynamic, Static
from bayesgmm.priors.number_of_components import (
    BetaNegativeBinomialComponents,
    FixedComponents,
    GeometricComponents,
    PoissonComponents,
    UniformComponents,
)
from bayesgmm.runtime.files import tree_forms
from bayesgmm.saving.command import check_save, save_to

PRIORS = {
    "bnb": (BetaNegativeBinomialComponents, float, 3), "uniform": (UniformComponents, int, 1),
    "geometric": (GeometricComponents, float, 1), "poisson": (PoissonComponents, float, 1),
    "fixed": (FixedComponents, int, 1),
}  # fmt: skip
"""Priors of K by name, with the type and the number of their parameters."""
CONCENTRATIONS = {"static": (Static, float, 1), "dynamic": (Dynamic, float, 1)}


@in_its_options
@with_json
def telescoping(
    data: Data,
    prior_of_k: Annotated[
        str,
        typer.Option(
            "--prior-of-k", help="bnb:1,4,3, uniform:30, geometric:0.1, poisson:3, or fixed:10 (a sparse mixture)."
        ),
    ] = "bnb:1,4,3",
    concentration: Annotated[
        str | None,
        typer.Option(help="Of the weights given K: static:1, or dynamic:1 (1 / K); by default dynamic, inferred."),
    ] = None,
    max_components: Annotated[int | None, typer.Option(help="Largest K; by default that of its prior, or 30.")] = None,
    out: Annotated[str | None, typer.Option(metavar="FILE.nc", help="File of the draws, an ArviZ DataTree.")] = None,
    columns: Columns = None,
    weights: Weights = None,
    family: Family = "full",
    chains: Chains = 4,
    warmup: Warmup = 1000,
    samples: Samples = 1000,
    save: Save = None,
    seed: Seed = 0,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Draw the number of components too (the telescoping sampler); print the posterior of K and of the clusters K₊."""
    from bayesgmm.data.files import read_file

    numbers, known = parsed("--prior-of-k", prior_of_k, PRIORS), None
    if concentration is not None:
        known = parsed("--concentration", concentration, CONCENTRATIONS)
    output, name = one_file(out, ".nc")
    place = check_save(save)
    table = read_file(data, columns, lambda line: say(visible(line), error=True), weights, None)
    from bayesgmm.diagnosis.number_of_components import diagnose_number
    from bayesgmm.engines.telescoping.sample_telescoping import sample_telescoping

    with stoppable() as stop, warnings.catch_warnings():
        warnings.simplefilter("ignore", MixingWarning)  # the verdict below reports it
        found = sample_telescoping(
            table, covariance_type=family, components=numbers, concentration=known, max_components=max_components,
            num_warmup=warmup, num_samples=samples, num_chains=chains, seed=seed, progress_bar=not quiet,
        )  # fmt: skip
        written = None if name is None else output.save(name, tree_forms(found.to_datatree))
        save_to(place, found, output)
        diagnosis = diagnose_number(found)
        print_number(diagnosis)
        print_json(as_json, "telescoping", seed, lambda: of_number(diagnosis))
    if written is not None:
        say(f"Draws: {visible(str(written))}")
    finish(output, stop)


def parsed(option: str, text: str, table: dict[str, Any]) -> Any:
    """A prior from words such as ``uniform:30``.

    Raises
    ------
    ArgumentError, PriorError
        If there is no such prior, or its parameters are not as many numbers, or out of range.
    """
    name, _, parameters = text.strip().lower().partition(":")
    forms = ", ".join(f"{one}:{','.join('abc'[:size])}" for one, (_, _, size) in table.items())
    if name not in table:
        raise ArgumentError(f"{option} must be one of {forms}; got {text[:80]!r}.")
    kind, number, size = table[name]
    try:
        values = [number(part) for part in parameters.split(",") if parameters]
    except ValueError:
        values = []
    if len(values) != size and (values or parameters or kind is not BetaNegativeBinomialComponents):
        what = "whole number" if number is int else "number"
        raise ArgumentError(f"{option} {name} takes {size} {what}{'s' * (size > 1)} ({forms}); got {text[:80]!r}.")
    return kind(*values)
