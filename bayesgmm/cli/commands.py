"""The commands, and the entry point of the command line."""

import io
import os
import sys
import warnings
from typing import Annotated

import typer

from bayesgmm.cli.again import command_of
from bayesgmm.cli.as_json import of_comparison, of_diagnosis, of_table, print_json, with_json
from bayesgmm.cli.formats import TEXT, check_format, print_written
from bayesgmm.cli.options import (
    Also,
    AsJson,
    BatchSize,
    Chains,
    Columns,
    Data,
    EmIntervals,
    Family,
    Format,
    FromDisk,
    HeldOut,
    Interval,
    Labels,
    Names,
    Noise,
    Quiet,
    Samples,
    Save,
    Seed,
    Tempering,
    Truth,
    Warmup,
    Weights,
)  # fmt: skip
from bayesgmm.cli.predict import predict
from bayesgmm.cli.rows import read_table
from bayesgmm.cli.sample import sample
from bayesgmm.cli.select import select
from bayesgmm.cli.simulate import simulate
from bayesgmm.cli.telescoping import telescoping
from bayesgmm.comparison.command_words import given_results, pairs, sizes, split
from bayesgmm.comparison.endings import finish, stoppable
from bayesgmm.comparison.options import error_in_options, in_its_options, in_options
from bayesgmm.comparison.saving import save_diagnosis, save_report, save_table, score
from bayesgmm.comparison.tables import save_tables
from bayesgmm.comparison.terminal import print_comparison, print_diagnosis, print_table, report_error, say
from bayesgmm.engines.engine import engine_names, find_engines
from bayesgmm.errors import ArgumentError, BayesGMMError, MixingWarning, visible
from bayesgmm.runtime.files import Output
from bayesgmm.saving.command import check_save, draws_of, save_to
from bayesgmm.studies.command import study
from bayesgmm.version import __version__

app = typer.Typer(
    no_args_is_help=True,
    help="Fit a Gaussian mixture by EM, variational Bayes and MCMC under one prior, and compare the answers.",
)  # fmt: skip


def _show_version(asked: bool) -> bool:
    if asked:
        say(f"bayesgmm {__version__}")
        raise typer.Exit
    return asked


@app.callback()
def bayesgmm(
    version: Annotated[
        bool, typer.Option("--version", is_eager=True, callback=_show_version, help="Print the version.")
    ] = False,
) -> None:
    """Fit a Gaussian mixture by EM, variational Bayes and MCMC under one prior, and compare the answers."""


@app.command()
@in_its_options
@with_json
def compare(
    data: Data,
    k: Annotated[int, typer.Option("-k", "--components", help="Number of components.")],
    engines: Annotated[str, typer.Option(help=f"Comma-separated: {', '.join(engine_names())}.")] = "em,gibbs,nuts",
    out: Annotated[str, typer.Option(help="Folder for the report, the summary and the draws.")] = "out",
    columns: Columns = None,
    weights: Weights = None,
    labels: Labels = None,
    noise: Noise = False,
    family: Family = "full",
    chains: Chains = 4,
    warmup: Warmup = 1000,
    samples: Samples = 1000,
    tempering: Tempering = 1,
    starts: Annotated[int, typer.Option(help="Starts of EM.")] = 10,
    interval: Interval = None,
    em_intervals: EmIntervals = None,
    also: Also = None,
    reference: Truth = None,
    names: Names = None,
    held_out: HeldOut = None,
    save: Save = None,
    seed: Seed = 0,
    quiet: Quiet = False,
    form: Format = TEXT,
    as_json: AsJson = False,
) -> None:
    """Fit one mixture by several engines under one prior; print the table and write the report."""
    again = command_of(compare, locals())
    from bayesgmm.data.files import read_file

    check_format(form, as_json)
    table = read_file(data, columns, _say, weights, labels)
    from bayesgmm.comparison.held_out import check_folds
    from bayesgmm.comparison.run import compare as run

    find_engines(split(engines) or [])
    given, truth = given_results(also or [], reference, pairs(names))
    if held_out is not None:
        check_folds(held_out, table, k)
    output, place = Output(out, "--out"), check_save(save)
    with stoppable() as stop, warnings.catch_warnings():
        warnings.simplefilter("ignore", MixingWarning)  # the verdict below reports it
        comparison = run(
            table, k, engines=split(engines) or [], covariance_type=family, noise=noise, num_warmup=warmup,
            num_samples=samples, num_chains=chains, tempering=tempering, n_init=starts, interval=interval,
            em_intervals=em_intervals, also=given, reference=truth, seed=seed, save_to=output, progress_bar=not quiet,
        )  # fmt: skip
        unscored = None if held_out is None or stop.is_set() else score(comparison, held_out, seed, not quiet)
        save_tables(comparison, output)
        save_to(place, comparison, output)
        written = None if stop.is_set() else save_report(comparison, output, again)
        print_comparison(comparison)
        print_written(form, comparison)
        print_json(as_json, "compare", seed, lambda: of_comparison(comparison))
    say(f"Report: {visible(str(written)) if written else 'not written'}", f"Draws and summary: {visible(out)}")
    _say_stale(comparison.results, output)
    if unscored is not None and not stop.is_set():
        report_error(error_in_options(unscored))
        raise typer.Exit(2)
    finish(output, stop)


@app.command()
@in_its_options
@with_json
def fit(
    data: Data,
    k: Annotated[str, typer.Option("-k", "--components", help="Numbers of components: 3, 1:9 or 2,4,6.")] = "1:9",
    families: Annotated[
        str, typer.Option(help="all, or a comma-separated list: EII,VVV,… or full,tied,diag,spherical.")
    ] = "all",
    criterion: Annotated[str, typer.Option(help="bic, icl, soft_icl, aic or aicc; smaller is better.")] = "bic",
    prior: Annotated[str, typer.Option(help="none (maximum likelihood) or default (MAP).")] = "none",
    out: Annotated[str, typer.Option(help="Folder for the table, its figure and the best model.")] = "out",
    columns: Columns = None,
    from_disk: FromDisk = False,
    batch_size: BatchSize = None,
    weights: Weights = None,
    labels: Labels = None,
    noise: Noise = False,
    starts: Annotated[int, typer.Option(help="Starts per model.")] = 16,
    save: Save = None,
    seed: Seed = 0,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Fit every covariance family and number of components by EM; print the table and save the best model."""
    numbers = sizes(k)
    if prior not in ("none", "default"):
        raise ArgumentError(f"--prior must be none or default, got {prior!r}.")
    table = read_table(data, columns, from_disk, weights, labels, quiet)
    from bayesgmm.selection.fit_table import fit_table

    output, place = Output(out, "--out"), check_save(save)

    with stoppable() as stop:
        found = fit_table(
            table, numbers, families, prior=None if prior == "none" else prior, noise=noise, criterion=criterion,
            n_init=starts, seed=seed, batch_size=batch_size, progress_bar=not quiet,
        )  # fmt: skip
        save_table(found, output)
        save_to(place, found.best, output)
        print_table(found)
        print_json(as_json, "fit", seed, lambda: of_table(found))
    say(f"Table, figures and best model: {visible(out)}")
    finish(output, stop)


@app.command()
@in_its_options
@with_json
def diagnose(
    draws: Annotated[
        str,
        typer.Argument(
            help="File of draws: a DataTree of ArviZ (gibbs.nc, other software), or a posterior of --save (.nc, .zarr)."
        ),
    ],
    data: Annotated[str | None, typer.Option(help="The data, if the file lacks them; see `compare`.")] = None,
    columns: Columns = None,
    component_dim: Annotated[str, typer.Option(help="Name of the component dimension.")] = "component",
    names: Annotated[
        str | None,
        typer.Option(help="Variable names in the file: weights=w,means=mu,variances=s2 (or sds, covariances)."),
    ] = None,
    out: Annotated[str | None, typer.Option(help="Folder for the figures and the relabelled draws.")] = None,
    seed: Seed = 0,
    as_json: AsJson = False,
) -> None:
    """Diagnose draws: mixing, label switching or several modes, number of components."""
    from bayesgmm.data.files import read_file

    if columns and not data:
        raise ArgumentError("--columns chooses features of --data. Give --data too, or leave --columns out.")
    table = read_file(data, columns, _say) if data else None
    named = pairs(names)
    output = None if out is None else Output(out, "--out")
    given = draws_of(draws)
    from bayesgmm.diagnosis.diagnosis import diagnose as run
    from bayesgmm.diagnosis.number_of_components import NumberDiagnosis

    found = run(given, component_dim=component_dim, names=named, x=table, seed=seed)
    try:
        if output is not None:
            save_diagnosis(found, output)
    finally:
        print_diagnosis(found)
        print_json(as_json, "diagnose", seed, lambda: of_diagnosis(found))
    if output is not None:
        what = "Figures" if isinstance(found, NumberDiagnosis) else "Figures and relabelled draws"
        say(f"{what}: {visible(str(output.folder))}")
        finish(output)


app.command()(predict)
app.command()(sample)
app.command()(select)
app.command()(simulate)
app.command()(study)
app.command()(telescoping)


@app.command()
def datasets() -> None:
    """List the built-in data sets and their sources."""
    from rich.table import Table

    from bayesgmm.data.datasets import SOURCES

    table = Table("name", "rows", "features", "what it is", "source")
    for name, entry in SOURCES.items():
        table.add_row(name, str(entry.rows), ", ".join(entry.features), entry.about, entry.source)
    say(table)


@app.command()
def cache(clear: Annotated[bool, typer.Option("--clear", help="Remove them.")] = False) -> None:
    """Tell where compiled programs are kept on disk, and how large they are."""
    from bayesgmm.runtime.program_folder import cache_info, clear_cache

    say(visible(f"Removed {clear_cache()}" if clear else str(cache_info())))


def main() -> None:
    """Run the command line; a user-facing error prints one line, not a traceback."""
    os.environ["MPLBACKEND"] = "agg"  # matplotlib refuses to load with the name of a backend that does not exist
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
    with warnings.catch_warnings():
        warnings.showwarning = _show_warning
        try:
            app()
        except BayesGMMError as error:
            report_error(error)
            sys.exit(2)
        except OSError as error:
            report_error(error)
            sys.exit(3)


def _show_warning(message: Warning | str, category: type[Warning], *_: object) -> None:
    say(f"{category.__name__}: {visible(in_options(str(message)))}", error=True)


def _say_stale(results: dict, output: Output) -> None:
    absent = [f"{name}.nc" for name in engine_names() if name not in results]
    if stale := [name for name in absent if (output.folder / name).exists()]:
        say(f"Files from an earlier run: {', '.join(stale)}")


def _say(line: str) -> None:
    say(visible(line), error=True)
