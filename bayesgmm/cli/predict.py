"""The command ``bayesgmm predict``."""

from typing import Annotated, Any

import numpy as np
import typer

from bayesgmm.cli.one_file import one_file, put_csv
from bayesgmm.cli.options import Columns, Data
from bayesgmm.comparison.options import in_its_options
from bayesgmm.comparison.terminal import say
from bayesgmm.errors import ArgumentError, visible


@in_its_options
def predict(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="A result that --save or bayesgmm.save wrote.")],
    data: Data,
    proba: Annotated[bool, typer.Option("--proba", help="The probability of every class, in further columns.")] = False,
    out: Annotated[
        str | None, typer.Option(metavar="FILE.csv", help="File to write, in place of standard output.")
    ] = None,
    columns: Columns = None,
) -> None:
    """Classify the rows of DATA by a saved fit, posterior or mixture; print a row of CSV for each.

    Features are found by name; other columns of DATA are left out. The columns are `class`, its `probability`, and
    `log_density`, the log density of the row under the model.
    """
    from bayesgmm.data.files import read_file

    found = _mixture_of(model)
    output, name = one_file(out, ".csv")
    features = list(found.table.features) if hasattr(found, "table") else list(found.features)
    named = found.table.named if hasattr(found, "table") else features != [f"x{d}" for d in range(len(features))]
    wanted = features if columns is None and named else columns
    table = read_file(data, wanted, lambda line: say(visible(line), error=True), keep_empty=True)
    put_csv(_csv(found, table, proba), table.num_rows, output, name)


def _mixture_of(model: str) -> Any:
    """The saved result, if it can classify rows; of a table of fits the best one."""
    from bayesgmm.saving.results import load

    found = load(model)
    found = getattr(found, "best", found)
    if not all(hasattr(found, method) for method in ("predict_proba", "score_samples")):
        raise ArgumentError(
            f"{model[:200]} holds a {type(found).__name__}, which classifies no rows. Save a fit, a posterior, a "
            "mixture or a table of fits: bayesgmm fit … --save FILE.nc."
        )
    return found


def _csv(found: Any, table: Any, proba: bool) -> str:
    import pandas as pd

    chances = np.asarray(found.predict_proba(table))
    best = chances.argmax(axis=1)
    classes = np.asarray(getattr(found, "classes", range(chances.shape[1])))
    frame = pd.DataFrame(
        {"class": classes[best], "probability": chances.max(axis=1), "log_density": found.score_samples(table)}
    )
    if proba:
        names = [f"p[{one}]" for one in classes]
        frame = pd.concat([frame, pd.DataFrame(chances, columns=names)], axis=1)
    return frame.to_csv(index=False, lineterminator="\n")
