"""The command line: the main job in one command."""

import os
import sys
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bayesgmm.errors import ArgumentError, BayesGMMError, MixingWarning

if TYPE_CHECKING:
    from bayesgmm.comparison import Comparison

app = typer.Typer(no_args_is_help=True, add_completion=False, help="Gaussian mixtures: every inference, side by side.")


@app.command()
def compare(
    data: Annotated[
        str, typer.Argument(help="CSV, TSV or Parquet file, or a built-in data set (see `bayesgmm datasets`).")
    ],
    k: Annotated[int, typer.Option("-k", "--components", help="Number of components.")],
    engines: Annotated[str, typer.Option(help="Comma-separated: mle, em, gibbs, nuts.")] = "em,gibbs,nuts",
    out: Annotated[Path, typer.Option(help="Folder for the report, the summary and the draws.")] = Path("out"),
    columns: Annotated[str | None, typer.Option(help="Comma-separated features to keep; all by default.")] = None,
    chains: Annotated[int, typer.Option(help="Chains of each sampler.")] = 4,
    warmup: Annotated[int, typer.Option(help="Warm-up draws of each chain.")] = 1000,
    samples: Annotated[int, typer.Option(help="Kept draws of each chain.")] = 1000,
    starts: Annotated[int, typer.Option(help="Starts of EM.")] = 10,
    seed: Annotated[int, typer.Option(help="Seed of all randomness.")] = 0,
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress bars.")] = False,
) -> None:
    """Fit one mixture by several engines under one prior; print the table, write the report."""
    from bayesgmm.data import read_file

    table = read_file(data, _split(columns))
    _cache_compilations()
    from bayesgmm.comparison import ENGINES, check_engines
    from bayesgmm.comparison import compare as run

    check_engines(_split(engines) or [])
    _check_folder(out)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", MixingWarning)  # the verdict below says it
        comparison = run(
            table, k, engines=_split(engines) or [], num_warmup=warmup, num_samples=samples, num_chains=chains,
            n_init=starts, seed=seed, save_to=out, progress_bar=not quiet,
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


def _split(text: str | None) -> list[str] | None:
    return [part.strip() for part in text.split(",") if part.strip()] if text else None


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
