"""The command ``bayesgmm select``."""

from typing import Annotated

import typer

from bayesgmm.cli.as_json import of_selection, print_json, with_json
from bayesgmm.cli.options import (
    AsJson,
    Chains,
    Columns,
    Data,
    Labels,
    Noise,
    Quiet,
    Samples,
    Save,
    Seed,
    Warmup,
    Weights,
)
from bayesgmm.comparison.command_words import sizes, split
from bayesgmm.comparison.endings import finish, stoppable
from bayesgmm.comparison.options import in_its_options
from bayesgmm.comparison.saving import save_selection
from bayesgmm.comparison.terminal import print_selection, say
from bayesgmm.errors import ArgumentError, visible
from bayesgmm.runtime.files import Output
from bayesgmm.saving.command import check_save, save_to


@in_its_options
@with_json
def select(
    data: Data,
    k: Annotated[str, typer.Option("-k", "--components", help="Numbers of components: 1-9, 1:9 or 2,4,6.")] = "1:9",
    families: Annotated[
        str, typer.Option(help="full, all, or a comma-separated list: EII,VVV,… or full,tied,diag,spherical.")
    ] = "full",
    criteria: Annotated[
        str,
        typer.Option(
            help="Comma-separated: bic, icl, soft_icl, aic, aicc, lrt, loo, kfold, held_out, evidence, posterior_of_k."
        ),
    ] = "bic,icl,loo",
    prior: Annotated[
        str, typer.Option(help="none (fits by maximum likelihood, draws under the default prior) or default.")
    ] = "none",
    engine: Annotated[str, typer.Option(help="What makes the draws: gibbs, nuts, cavi, …")] = "gibbs",
    out: Annotated[str, typer.Option(help="Folder for the table and its figure.")] = "out",
    columns: Columns = None,
    weights: Weights = None,
    labels: Labels = None,
    noise: Noise = False,
    chains: Chains = 4,
    warmup: Warmup = 1000,
    samples: Samples = 1000,
    starts: Annotated[int, typer.Option(help="Starts per fit.")] = 16,
    folds: Annotated[int, typer.Option(help="Folds of kfold.")] = 10,
    held_out: Annotated[float, typer.Option(help="Share of rows that held_out holds out.")] = 0.2,
    bootstrap: Annotated[int, typer.Option(help="Data sets for each test of lrt.")] = 199,
    level: Annotated[float, typer.Option(help="Level of each test of lrt.")] = 0.05,
    save: Save = None,
    seed: Seed = 0,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """How many components? Print several criteria over the same models, and what they say together."""
    from bayesgmm.data.described import rows
    from bayesgmm.data.files import read_file

    numbers = sizes(k.replace("-", ":"))
    if prior not in ("none", "default"):
        raise ArgumentError(f"--prior must be none or default, got {prior!r}.")
    table = read_file(data, columns, lambda line: say(visible(line), error=True), weights, labels)
    from bayesgmm.model_choice.select import select as run

    output, place = Output(out, "--out"), check_save(save)
    with stoppable() as stop:
        found = run(
            rows(table, noise=True) if noise else table, numbers, families=families, criteria=split(criteria) or [],
            prior=None if prior == "none" else prior, engine=engine, num_warmup=warmup, num_samples=samples,
            num_chains=chains, n_init=starts, folds=folds, held_out=held_out, num_bootstrap=bootstrap, level=level,
            seed=seed, progress_bar=not quiet,
        )  # fmt: skip
        save_selection(found, output)
        save_to(place, found, output)
        print_selection(found)
        print_json(as_json, "select", seed, lambda: of_selection(found, table))
    say(f"Table and figure: {visible(out)}")
    finish(output, stop)
