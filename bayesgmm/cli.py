"""The command line: the main job in one command."""

import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bayesgmm.errors import ArgumentError, BayesGMMError, MixingWarning
from bayesgmm.tables import significant

if TYPE_CHECKING:
    from bayesgmm.comparison import Comparison
    from bayesgmm.selection import FitTable

app = typer.Typer(no_args_is_help=True, add_completion=False, help="Gaussian mixtures: every inference, side by side.")


Data = Annotated[
    str, typer.Argument(help="CSV, TSV or Parquet file, or a built-in data set (see `bayesgmm datasets`).")
]
Columns = Annotated[str | None, typer.Option(help="Comma-separated features to keep; all by default.")]
Seed = Annotated[int, typer.Option(help="Seed of all randomness.")]


@app.command()
def compare(
    data: Data,
    k: Annotated[int, typer.Option("-k", "--components", help="Number of components.")],
    engines: Annotated[
        str, typer.Option(help="Comma-separated: mle, em, cavi, svi, laplace, gibbs, nuts.")
    ] = "em,gibbs,nuts",
    out: Annotated[Path, typer.Option(help="Folder for the report, the summary and the draws.")] = Path("out"),
    columns: Columns = None,
    family: Annotated[
        str, typer.Option(help="Covariances: full, tied, diag or spherical, or an mclust code such as EEI.")
    ] = "full",
    chains: Annotated[int, typer.Option(help="Chains of each sampler.")] = 4,
    warmup: Annotated[int, typer.Option(help="Warm-up draws of each chain.")] = 1000,
    samples: Annotated[int, typer.Option(help="Kept draws of each chain.")] = 1000,
    tempering: Annotated[int, typer.Option(help="Replicas per chain of Gibbs, for chains that stick; 1 is none.")] = 1,
    starts: Annotated[int, typer.Option(help="Starts of EM.")] = 10,
    seed: Seed = 0,
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress bars.")] = False,
) -> None:
    """Fit one mixture by several engines under one prior; print the table, write the report."""
    from bayesgmm.data import read_file

    table = read_file(data, _split(columns))
    _cache_compilations()
    from bayesgmm.comparison import compare as run
    from bayesgmm.engines import ENGINES, check_engines

    check_engines(_split(engines) or [])
    _check_folder(out)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", MixingWarning)  # the verdict below says it
        comparison = run(
            table, k, engines=_split(engines) or [], covariance_type=family, num_warmup=warmup, num_samples=samples,
            num_chains=chains, tempering=tempering, n_init=starts, seed=seed, save_to=out, progress_bar=not quiet,
        )  # fmt: skip
    _print(comparison)
    typer.echo("\nWriting the report …", err=True)
    comparison.summary().to_csv(out / "summary.csv")
    report = comparison.to_html(out / "report.html")
    typer.echo(f"Report: {report.resolve()}\nDraws and summary: {out.resolve()}")
    stale = [f"{name}.nc" for name in ENGINES if name not in comparison.results and (out / f"{name}.nc").exists()]
    if stale:
        typer.echo(f"From an earlier run, not this one: {', '.join(stale)}")


@app.command()
def fit(
    data: Data,
    k: Annotated[str, typer.Option("-k", "--components", help="Numbers of components: 3, 1:9 or 2,4,6.")] = "1:9",
    families: Annotated[
        str, typer.Option(help="all, or a comma-separated list: EII,VVV,… or full,tied,diag,spherical.")
    ] = "all",
    criterion: Annotated[str, typer.Option(help="bic, icl or aic; smaller is better.")] = "bic",
    prior: Annotated[str, typer.Option(help="none (maximum likelihood) or default (MAP).")] = "none",
    out: Annotated[Path, typer.Option(help="Folder for the table, its picture and the best model.")] = Path("out"),
    columns: Columns = None,
    starts: Annotated[int, typer.Option(help="Starts per model.")] = 16,
    seed: Seed = 0,
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress bar.")] = False,
) -> None:
    """Fit every covariance family with every number of components by EM; print the table, keep the best model."""
    from bayesgmm.data import read_file

    sizes = _sizes(k)
    if prior not in ("none", "default"):
        raise ArgumentError(f"--prior must be none or default, got {prior!r}.")
    table = read_file(data, _split(columns))
    _cache_compilations()
    from bayesgmm.selection import fit_table

    with _folder(out):
        found = fit_table(
            table, sizes, families, prior=None if prior == "none" else prior, criterion=criterion, n_init=starts, seed=seed,
            progress_bar=not quiet,
        )  # fmt: skip
    _print_table(found)
    _save_table(found, out)


def _sizes(text: str) -> list[int]:
    try:
        parts = [[int(end) for end in part.split(":")] for part in text.split(",")]
        sizes = [size for part in parts for size in range(part[0], part[-1] + 1) if len(part) <= 2]
    except ValueError:
        sizes = []
    if not sizes:
        raise ArgumentError(f"-k must be a number, a range or a list, such as 3, 1:9 or 2,4,6; got {text!r}.")
    return sizes


@app.command()
def datasets() -> None:
    """List the built-in data sets and their sources."""
    from rich.console import Console
    from rich.table import Table

    from bayesgmm.datasets import SOURCES

    table = Table("name", "rows", "features", "what it is", "source")
    for name, entry in SOURCES.items():
        table.add_row(name, str(entry.rows), ", ".join(entry.features), entry.about, entry.source)
    Console().print(table)


def main() -> None:
    """Run the command line; errors made for the user are one line, not a traceback."""
    try:
        app()
    except BayesGMMError as error:
        from rich.console import Console
        from rich.markup import escape

        Console(stderr=True).print(
            f"[bold red]{type(error).__name__}[/]: {escape(str(error))}", highlight=False, soft_wrap=True
        )
        sys.exit(2)


def _print(comparison: "Comparison") -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    summary = comparison.summary()
    table = Table("parameter", *(str(name) for name in summary.columns), title=comparison.title, title_justify="left")
    for column in table.columns[1:]:
        column.justify = "right"
    for label, row in summary.iterrows():
        if str(label) == "log-likelihood":
            table.add_section()
        if not str(label).startswith("covariances"):
            table.add_row(escape(str(label)), *map(str, row))
    console = Console()
    console.print(table)
    for name, words in comparison.engine_names.items():
        console.print(f"{name}: {words}", style="dim", highlight=False)
    console.print("Covariances are in the report.", style="dim")
    for line in comparison.verdict():
        console.print(f"• {line}", highlight=False, markup=False)


def _print_table(found: "FitTable") -> None:
    from rich.console import Console
    from rich.table import Table

    name, best = found.criterion.upper(), found.best
    values, spurious = found.frame(), found.frame("spurious")
    table = Table(
        "family", *(f"K={size}" for size in values.index), title=f"{name}, smaller is better", title_justify="left"
    )
    for column in table.columns[1:]:
        column.justify = "right"
    for family in values.columns:
        row = []
        for size in values.index:
            value = values.loc[size, family]
            shown = "–" if value != value else f"{value:.1f}" + ("†" if spurious.loc[size, family] else "")
            chosen = (family, size) == (best.family.label(best.table.dim), best.n_components)
            row.append(f"[bold reverse]{shown}[/]" if chosen else shown)
        table.add_row(str(family), *row)
    console = Console()
    console.print(table)
    if spurious.to_numpy().any():
        console.print("† a component rests on too few rows for its covariance: not to be trusted", style="dim")
    console.print(best._title(), highlight=False, markup=False)
    console.print(best.summary().T.to_string(float_format=significant), highlight=False, markup=False)
    for line in found.notes():
        console.print(f"• {line}", highlight=False, markup=False)


def _save_table(found: "FitTable", out: Path) -> None:
    import matplotlib as mpl

    mpl.use("Agg")
    from bayesgmm import plots

    found.frame().to_csv(out / "table.csv")
    found.best.summary().to_csv(out / "best.csv")
    found.best.datatree.to_netcdf(out / "best.nc")
    plots.plot_table(found).figure.savefig(out / "table.png", dpi=150)
    picture = plots.plot_components({"best": found.best}).figure
    picture.suptitle(found.best_model, fontsize="medium")
    picture.savefig(out / "best.png", dpi=150)
    typer.echo(f"Table, picture and best model: {out.resolve()}")


def _split(text: str | None) -> list[str] | None:
    return [part.strip() for part in text.split(",") if part.strip()] if text else None


@contextmanager
def _folder(path: Path) -> Iterator[None]:
    """Check the folder before a long computation; if that fails, leave no empty folder behind."""
    known = path.exists()
    _check_folder(path)
    try:
        yield
    except BaseException:
        if not known:
            with suppress(OSError):
                path.rmdir()
        raise


def _check_folder(path: Path) -> None:
    try:
        path.mkdir(parents=True, exist_ok=True)
        probe = path / ".bayesgmm"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise ArgumentError(f"The folder {path} cannot be used ({error}). Choose another with --out.") from None


def _cache_compilations() -> None:
    """Keep compiled programs between runs, in the user's cache folder, unless JAX was told of a place already."""
    import jax

    if "JAX_COMPILATION_CACHE_DIR" in os.environ:
        return
    home = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache"))
    jax.config.update("jax_compilation_cache_dir", str(home / "bayesgmm"))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.05)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)
