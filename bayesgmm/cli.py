"""The command line: `compare`, `fit`, `diagnose`, `datasets` and `cache`."""

import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bayesgmm.comparison.terminal import print_comparison, print_diagnosis, print_table
from bayesgmm.engines.engine import engine_names, find_engines
from bayesgmm.errors import ArgumentError, BayesGMMError, MixingWarning

if TYPE_CHECKING:
    from bayesgmm.selection.fit_table import FitTable

app = typer.Typer(
    no_args_is_help=True, add_completion=False,
    help="Fit a Gaussian mixture by EM, variational Bayes and MCMC under one prior, and compare the answers.",
)  # fmt: skip


Data = Annotated[
    str,
    typer.Argument(
        help="CSV, TSV or Parquet file (also .gz, .zip, …), or a built-in data set (see `bayesgmm datasets`)."
    ),
]
Columns = Annotated[
    str | None, typer.Option(help="Comma-separated features to keep (default: all); quote names: '\"a, b\",c'.")
]
Seed = Annotated[int, typer.Option(help="Random seed.")]


@app.command()
def compare(
    data: Data,
    k: Annotated[int, typer.Option("-k", "--components", help="Number of components.")],
    engines: Annotated[str, typer.Option(help=f"Comma-separated: {', '.join(engine_names())}.")] = "em,gibbs,nuts",
    out: Annotated[Path, typer.Option(help="Folder for the report, the summary and the draws.")] = Path("out"),
    columns: Columns = None,
    family: Annotated[
        str, typer.Option(help="Covariances: full, tied, diag, spherical, or an mclust code such as EEI.")
    ] = "full",
    chains: Annotated[int, typer.Option(help="Chains of each sampler.")] = 4,
    warmup: Annotated[int, typer.Option(help="Warm-up draws of each chain.")] = 1000,
    samples: Annotated[int, typer.Option(help="Kept draws of each chain.")] = 1000,
    tempering: Annotated[int, typer.Option(help="Replicas per Gibbs chain, for poor mixing; 1: no tempering.")] = 1,
    starts: Annotated[int, typer.Option(help="Starts of EM.")] = 10,
    seed: Seed = 0,
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress bars.")] = False,
) -> None:
    """Fit one mixture by several engines under one prior; print the table and write the report."""
    from bayesgmm.data.files import read_file

    table = read_file(data, columns, _say)
    from bayesgmm.comparison.run import compare as run

    find_engines(_split(engines) or [])
    _check_folder(out)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", MixingWarning)  # the verdict below reports it
        comparison = run(
            table, k, engines=_split(engines) or [], covariance_type=family, num_warmup=warmup, num_samples=samples,
            num_chains=chains, tempering=tempering, n_init=starts, seed=seed, save_to=out, progress_bar=not quiet,
        )  # fmt: skip
    print_comparison(comparison)
    typer.echo("\nWriting the report …", err=True)
    comparison.summary().to_csv(out / "summary.csv")
    report = comparison.to_html(out / "report.html")
    typer.echo(f"Report: {report.resolve()}\nDraws and summary: {out.resolve()}")
    stale = [
        f"{name}.nc" for name in engine_names() if name not in comparison.results and (out / f"{name}.nc").exists()
    ]
    if stale:
        typer.echo(f"Files from an earlier run: {', '.join(stale)}")


@app.command()
def fit(
    data: Data,
    k: Annotated[str, typer.Option("-k", "--components", help="Numbers of components: 3, 1:9 or 2,4,6.")] = "1:9",
    families: Annotated[
        str, typer.Option(help="all, or a comma-separated list: EII,VVV,… or full,tied,diag,spherical.")
    ] = "all",
    criterion: Annotated[str, typer.Option(help="bic, icl or aic; smaller is better.")] = "bic",
    prior: Annotated[str, typer.Option(help="none (maximum likelihood) or default (MAP).")] = "none",
    out: Annotated[Path, typer.Option(help="Folder for the table, its figure and the best model.")] = Path("out"),
    columns: Columns = None,
    starts: Annotated[int, typer.Option(help="Starts per model.")] = 16,
    seed: Seed = 0,
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress bar.")] = False,
) -> None:
    """Fit every covariance family and number of components by EM; print the table and save the best model."""
    from bayesgmm.data.files import read_file

    sizes = _sizes(k)
    if prior not in ("none", "default"):
        raise ArgumentError(f"--prior must be none or default, got {prior!r}.")
    table = read_file(data, columns, _say)
    from bayesgmm.selection.fit_table import fit_table

    with _folder(out):
        found = fit_table(
            table, sizes, families, prior=None if prior == "none" else prior, criterion=criterion, n_init=starts,
            seed=seed, progress_bar=not quiet,
        )  # fmt: skip
    print_table(found)
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
def diagnose(
    draws: Annotated[
        Path, typer.Argument(help="NetCDF file of an ArviZ DataTree, from bayesgmm (gibbs.nc) or other software.")
    ],
    data: Annotated[str | None, typer.Option(help="The data, if the file lacks them; see `compare`.")] = None,
    columns: Columns = None,
    component_dim: Annotated[str, typer.Option(help="Name of the component dimension.")] = "component",
    names: Annotated[
        str | None,
        typer.Option(help="Variable names in the file: weights=w,means=mu,variances=s2 (or sds, covariances)."),
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Folder for the figures and the relabelled draws.")] = None,
    seed: Seed = 0,
) -> None:
    """Diagnose draws: mixing, label switching or several modes, number of components."""
    from bayesgmm.data.files import read_file

    if columns and not data:
        raise ArgumentError("--columns chooses features of --data. Give --data too, or leave --columns out.")
    table = read_file(data, columns, _say) if data else None
    pairs = dict(_pair(part) for part in _split(names) or [])
    if out is not None:
        _check_folder(out)
    from bayesgmm.results.draws_file import read_tree

    tree = read_tree(draws)
    from bayesgmm.diagnosis.diagnosis import diagnose as run

    found = run(tree, component_dim=component_dim, names=pairs, x=table, seed=seed)
    print_diagnosis(found)
    if out is not None:
        import matplotlib as mpl

        mpl.use("Agg")
        for name, figure in found.plot().items():
            figure.savefig(out / f"{name}.png", dpi=150)
        found.relabelling.datatree.to_netcdf(out / "relabelled.nc")
        typer.echo(f"Figures and relabelled draws: {out.resolve()}")


def _pair(text: str) -> tuple[str, str]:
    ours, equals, theirs = text.partition("=")
    if not equals:
        raise ArgumentError(f"--names takes pairs such as weights=w,means=mu,variances=s2; got {text!r}.")
    return ours.strip(), theirs.strip()


@app.command()
def datasets() -> None:
    """List the built-in data sets and their sources."""
    from rich.console import Console
    from rich.table import Table

    from bayesgmm.data.datasets import SOURCES

    table = Table("name", "rows", "features", "what it is", "source")
    for name, entry in SOURCES.items():
        table.add_row(name, str(entry.rows), ", ".join(entry.features), entry.about, entry.source)
    Console().print(table)


@app.command()
def cache(clear: Annotated[bool, typer.Option("--clear", help="Remove them.")] = False) -> None:
    """Tell where compiled programs are kept on disk, and how large they are."""
    from bayesgmm.runtime.program_folder import cache_info, clear_cache

    typer.echo(f"Removed {clear_cache()}" if clear else cache_info())


def main() -> None:
    """Run the command line; a user-facing error prints one line, not a traceback."""
    try:
        app()
    except BayesGMMError as error:
        from rich.console import Console
        from rich.markup import escape

        Console(stderr=True).print(
            f"[bold red]{type(error).__name__}[/]: {escape(str(error))}", highlight=False, soft_wrap=True
        )
        sys.exit(2)


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
    typer.echo(f"Table, figures and best model: {out.resolve()}")


def _say(line: str) -> None:
    typer.echo(line, err=True)


def _split(text: str | None) -> list[str] | None:
    return [part.strip() for part in text.split(",") if part.strip()] if text else None


@contextmanager
def _folder(path: Path) -> Iterator[None]:
    """Check the folder before a long computation; if the computation fails, remove the folder if new and empty."""
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
