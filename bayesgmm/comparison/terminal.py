"""Print results in a terminal with rich."""

from typing import TYPE_CHECKING

from bayesgmm.runtime.formatting import shown_as, significant

if TYPE_CHECKING:
    from bayesgmm.comparison.comparison import Comparison
    from bayesgmm.diagnosis.diagnosis import Diagnosis
    from bayesgmm.selection.fit_table import FitTable


def print_comparison(comparison: "Comparison") -> None:
    """Print the table of engines, then the verdict; only the report has the covariances."""
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


def print_diagnosis(found: "Diagnosis") -> None:
    """Print the verdict, then the label-invariant quantities."""
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    console = Console()
    console.print(f"[bold]{found.status}[/]")
    for line in found.verdict():
        console.print(f"• {line}", highlight=False, markup=False)
    table = Table("label-invariant quantity", "mean", "sd", "R-hat", "bulk ESS", "tail ESS")
    for column in table.columns[1:]:
        column.justify = "right"
    ess, rhat = shown_as("smallest ESS"), shown_as("worst R-hat")
    for name, row in found.summary().to_dict("index").items():
        cells = significant(row["mean"]), significant(row["sd"], 2), rhat(row["r_hat"])
        table.add_row(escape(str(name)), *cells, ess(row["ess_bulk"]), ess(row["ess_tail"]))
    console.print(table)


def print_table(found: "FitTable") -> None:
    """Print the criterion of every family and K, then the best model and the notes."""
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
        console.print("† a component has too few rows for its covariance: unreliable", style="dim")
    console.print(best._title(), highlight=False, markup=False)
    console.print(best.summary().T.to_string(float_format=significant), highlight=False, markup=False)
    for line in found.notes():
        console.print(f"• {line}", highlight=False, markup=False)
