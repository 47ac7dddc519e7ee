"""Options that several commands have."""

from typing import Annotated

import typer

Data = Annotated[
    str,
    typer.Argument(
        help="CSV, TSV, Excel, Parquet, … file (also .gz, .zip); - is standard input; or a name of `bayesgmm datasets`."
    ),
]
Columns = Annotated[
    str | None, typer.Option(help="Comma-separated features to keep (default: all); quote names: '\"a, b\",c'.")
]
FromDisk = Annotated[
    bool,
    typer.Option(
        "--from-disk",
        help="Leave the rows on disk and read them in each iteration: Parquet, Arrow, .npy, Zarr, or a folder.",
    ),
]
BatchSize = Annotated[
    int | None,
    typer.Option(help="With --from-disk: rows of each batch of online EM, in place of iterations with all rows."),
]
Weights = Annotated[
    str | None, typer.Option(metavar="COLUMN", help="Column that says how often each row counts; it is no feature.")
]
Labels = Annotated[
    str | None,
    typer.Option(
        metavar="COLUMN", help="Column of known classes (words or numbers, blank: unknown); component k is class k."
    ),
]
Noise = Annotated[
    bool,
    typer.Option("--noise", help="A component more, uniform over the hypervolume: rows that belong to no cluster."),
]
Seed = Annotated[int, typer.Option(help="Random seed.")]
Interval = Annotated[
    float | None,
    typer.Option(
        help="Show intervals in place of the sd, with this share of the draws (EM: of samples), such as 0.95."
    ),
]
EmIntervals = Annotated[
    str | None,
    typer.Option(
        help="Intervals of EM: information (the default with --interval), sandwich, bootstrap, weighted, parametric."
    ),
]
Also = Annotated[
    list[str] | None,
    typer.Option(metavar="NAME=FILE.nc", help="A further column: draws of Stan, PyMC, NumPyro. May be repeated."),
]
Truth = Annotated[
    str | None,
    typer.Option(help="What stands for the truth: exact, gibbs (a long run), nuts, a NAME of --also, or FILE.nc."),
]
Names = Annotated[
    str | None, typer.Option(help="Variable names in the files: weights=w,means=mu,variances=s2 (or sds, …).")
]
Save = Annotated[
    str | None,
    typer.Option(metavar="FILE", help="Also save the result whole, for bayesgmm.load: FILE.nc, or a folder FILE.zarr."),
]
HeldOut = Annotated[
    int | None, typer.Option(help="Folds of a held-out log score; every engine is refitted for each fold.")
]
Family = Annotated[str, typer.Option(help="Covariances: full, tied, diag, spherical, or an mclust code such as EEI.")]
Chains = Annotated[int, typer.Option(help="Chains of each sampler.")]
Warmup = Annotated[int, typer.Option(help="Warm-up draws of each chain.")]
Samples = Annotated[int, typer.Option(help="Kept draws of each chain.")]
Tempering = Annotated[int, typer.Option(help="Replicas per Gibbs chain, for poor mixing; 1: no tempering.")]
Quiet = Annotated[bool, typer.Option("--quiet", help="No progress bars.")]
Format = Annotated[
    str,
    typer.Option(
        "--format",
        metavar="FORMAT",
        help="The table as markdown or latex on standard output, and all words on standard error; or text.",
    ),
]
AsJson = Annotated[
    bool, typer.Option("--json", help="Print one JSON object to standard output, and all words to standard error.")
]
