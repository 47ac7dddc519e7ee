"""The command ``bayesgmm sample``."""

import warnings
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bayesgmm.cli.as_json import of_posterior, print_json, with_json
from bayesgmm.cli.one_file import one_file
from bayesgmm.cli.options import (
    AsJson,
    Chains,
    Columns,
    Data,
    Family,
    FromDisk,
    Labels,
    Noise,
    Quiet,
    Samples,
    Save,
    Seed,
    Tempering,
    Warmup,
    Weights,
)  # fmt: skip
from bayesgmm.cli.rows import read_table
from bayesgmm.comparison.endings import finish, stoppable
from bayesgmm.comparison.options import in_its_options
from bayesgmm.comparison.terminal import print_posterior, say
from bayesgmm.engines.engine import Engine, find_engines, of_one_number
from bayesgmm.errors import ArgumentError, MixingWarning, visible
from bayesgmm.runtime.checks import check_level
from bayesgmm.runtime.files import tree_forms
from bayesgmm.saving.command import check_save, save_to

if TYPE_CHECKING:
    from bayesgmm.results.posterior import Posterior


@in_its_options
@with_json
def sample(
    data: Data,
    k: Annotated[int, typer.Option("-k", "--components", help="Number of components.")],
    engine: Annotated[str, typer.Option(help="gibbs, nuts, or another that draws (see `compare`).")] = "gibbs",
    out: Annotated[
        str | None, typer.Option(metavar="FILE.nc", help="File of the draws, an ArviZ DataTree, for `diagnose`.")
    ] = None,
    columns: Columns = None,
    from_disk: FromDisk = False,
    weights: Weights = None,
    labels: Labels = None,
    noise: Noise = False,
    family: Family = "full",
    chains: Chains = 4,
    warmup: Warmup = 1000,
    samples: Samples = 1000,
    tempering: Tempering = 1,
    interval: Annotated[float, typer.Option(help="Share of the draws in the intervals that are shown.")] = 0.95,
    save: Save = None,
    seed: Seed = 0,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Draw from the posterior by one engine under the default prior; print the summary and the verdict."""
    from bayesgmm.data.described import described

    level, record = check_level("level", interval), _engine(engine, tempering)
    output, name = one_file(out, ".nc")
    place = check_save(save)
    table = read_table(data, columns, from_disk, weights, labels, quiet)
    settings = {"num_warmup": warmup, "num_samples": samples, "num_chains": chains, "tempering": tempering}
    with stoppable() as stop, warnings.catch_warnings():
        warnings.simplefilter("ignore", MixingWarning)  # the verdict below reports it
        found = record.run(
            described(table, None, None, None, noise), k, prior="default", covariance_type=family, seed=seed,
            progress_bar=not quiet, **record.select(settings),
        )  # fmt: skip
        written = None if name is None else output.save(name, tree_forms(found.to_datatree))
        save_to(place, found, output)
        verdict = verdict_of(record.name, found)
        print_posterior(found, level, verdict)
        print_json(as_json, "sample", seed, lambda: of_posterior(found, level, verdict))
    if written is not None:
        say(f"Draws: {visible(str(written))}")
    finish(output, stop)


def _engine(name: str, tempering: int) -> Engine:
    """The engine of this name, if it draws and takes these options."""
    record = find_engines([name])[0]
    if not record.draws:
        drawing = ", ".join(one.name for one in of_one_number() if one.draws)
        raise ArgumentError(f"{name} does not draw: it gives a point estimate (`bayesgmm fit`). Choose from {drawing}.")
    if record.draws_number:
        raise ArgumentError(f"{name} draws the number of components too. Use `bayesgmm {name} DATA`, without -k.")
    if tempering != 1 and "tempering" not in record.settings:
        raise ArgumentError(f"{name} has no replicas, so --tempering has no use. Use --engine gibbs, or leave it out.")
    return record


def verdict_of(name: str, found: "Posterior") -> list[str]:
    """Whether the draws can be used, in sentences."""
    from bayesgmm.results.approximation import ApproximatePosterior
    from bayesgmm.results.verdict import khat_line, mixing_line, prior_line

    approximate = isinstance(found, ApproximatePosterior)
    lines: list[Any] = [khat_line(name, found, None, None) if approximate else mixing_line(name, found)]
    return [line for line in (*lines, prior_line(name, found)) if line]
