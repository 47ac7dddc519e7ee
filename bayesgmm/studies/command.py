"""The command ``bayesgmm study``."""

from pathlib import Path
from typing import Annotated, Any

import typer

from bayesgmm.comparison.endings import finish, stoppable
from bayesgmm.comparison.options import in_its_options
from bayesgmm.comparison.terminal import say
from bayesgmm.errors import ArgumentError, visible
from bayesgmm.runtime.files import Output


@in_its_options
def study(
    file: Annotated[str, typer.Argument(help="TOML file with the arguments of bg.study.")],
    out: Annotated[str, typer.Option(help="Folder for the tables, the figures and the checkpoint.")] = "out",
    jobs: Annotated[int, typer.Option(help="Worker processes of joblib; -1: one per core.")] = 1,
    dask: Annotated[str | None, typer.Option(help="Address of a Dask scheduler that runs the replicates.")] = None,
    replicates: Annotated[int | None, typer.Option(help="Data sets per cell, in place of num_replicates.")] = None,
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress bar.")] = False,
) -> None:
    """Run engines on many simulated data sets; print bias, coverage and cost. The same call goes on after a stop."""
    from bayesgmm.studies.study import study as run
    from bayesgmm.studies.study_file import read_study

    arguments = read_study(Path(file))
    if replicates is not None:
        arguments["num_replicates"] = replicates
    output = Output(out, "--out")
    with stoppable() as stop:
        found = run(
            **arguments, checkpoint=output.folder / "checkpoint", client=_client(dask),
            n_jobs=jobs if dask is None else None, progress_bar=not quiet,
        )  # fmt: skip
        found.save(output)
        _save_figures(found, output)
        say(*map(visible, str(found).split("\n")))
    say(f"Tables, figures and checkpoint: {visible(out)}")
    finish(output, stop)


def _client(address: str | None) -> Any:
    if address is None:
        return None
    try:
        from dask.distributed import Client  # pyright: ignore[reportMissingImports]
    except ImportError:
        raise ArgumentError("--dask needs dask.distributed. Install it: pip install 'dask[distributed]'.") from None
    try:
        return Client(address, timeout=10)
    except (OSError, ValueError) as error:
        raise ArgumentError(f"No Dask scheduler answers at {address} ({error}).") from None


def _save_figures(found: Any, output: Output) -> None:
    import matplotlib as mpl

    mpl.use("Agg")
    from bayesgmm import plots
    from bayesgmm.plots.style import png

    output.save("coverage", {".png": lambda: png(plots.plot_coverage(found)[0, 0].figure)})
    output.save("cost", {".png": lambda: png(plots.plot_cost(found).figure)})
    if found.can_part:
        output.save("parting", {".png": lambda: png(plots.plot_parting(found).figure)})
