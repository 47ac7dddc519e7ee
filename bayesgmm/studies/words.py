"""A study in a table of text and in sentences."""

from typing import TYPE_CHECKING, Any

import numpy as np

from bayesgmm.runtime.formatting import plus_minus, significant

if TYPE_CHECKING:
    import pandas as pd

CLEAR = 3.0
"""Monte Carlo errors from which a departure of the coverage is reported."""
FEWEST = 20
"""Data sets per cell from which coverage is judged."""
ENOUGH = 50
"""Data sets from which the Monte Carlo error of a coverage is taken from their spread alone."""
MATTERS = 0.02
"""Smallest departure of the coverage that is reported."""
MOST = 3
"""Most cells that a sentence names."""
Rows = list[dict[Any, Any]]
SELDOM = 0.95
"""Share of data sets below which a search or an engine is reported."""
COLUMNS = (
    ("coverage", "weights"), ("coverage", "means"), ("coverage", "covariances"), ("coverage", "invariants"),
    ("rmse", "means"), ("log_score", ""), ("adjusted_rand", ""), ("reached", ""), ("sound", ""), ("failed", ""),
    ("seconds", ""),
)  # fmt: skip
HEADINGS = {
    "log_score": "log score − truth's", "adjusted_rand": "adjusted Rand", "reached": "reached best",
    "seconds": "seconds each", "rmse means": "RMSE of means (sds)",
}  # fmt: skip


def summary(study: Any) -> "pd.DataFrame":
    """A row per cell and engine, and columns of text."""
    import pandas as pd

    frame, grid = study.to_frame(), varying(study)
    rows: dict[str, dict[str, str]] = {}
    for cell in study.cells:
        place = ", ".join(f"{name} {cell.place[name]}" for name in grid)
        for engine in study.engines:
            here = frame[(frame["engine"] == engine) & _in_cell(frame, cell)].set_index(["quantity", "role"])
            rows[", ".join(filter(None, [place, engine]))] = {
                heading(name, role): cell_of(here, name, role, study.is_point(engine)) for name, role in COLUMNS
            }
    table = pd.DataFrame.from_dict(rows, orient="index").rename_axis("cell")
    return table.loc[:, (table != "–").any()]


def varying(study: Any) -> list[str]:
    """Names of the coordinates that differ between cells, and the number of rows."""
    places = [cell.place for cell in study.cells]
    return [name for name in places[0] if name == "n" or len({place[name] for place in places}) > 1]


def heading(name: str, role: str) -> str:
    """The name of a column in words."""
    plain = f"{name} {role}".strip()
    return HEADINGS.get(plain, f"coverage of {role}" if name == "coverage" else plain)


def cell_of(here: "pd.DataFrame", name: str, role: str, point: bool) -> str:
    """One figure as text."""
    if (name, role) not in here.index:
        return "–"
    value, se = (float(here.loc[(name, role), part]) for part in ("value", "se"))  # pyright: ignore
    if name == "sound" and point:
        return "–"  # that EM has converged says nothing of its quality: see "reached best"
    if name in ("reached", "sound", "failed"):
        return "–" if value != value else f"{100 * value:.0f} %"
    return significant(value, 2) if name == "seconds" else plus_minus([value], [se])[0]


def verdict(study: Any) -> list[str]:
    """The conclusions, in a few sentences."""
    lines = ["It was stopped before its end: figures rest on the replicates so far."] if study.interrupted else []
    frame = study.to_frame()
    for engine in study.engines:
        own = frame[frame["engine"] == engine].to_dict("records")
        lines += _coverage_lines(study, own, engine)
        lines += _share_line(study, own, engine, "reached", "reaches the optimum that EM from the truth reaches")
        lines += _share_line(study, own, engine, "sound", "is sound (converged, mixed, or k-hat below 0.7)")
        lines += _failure_line(study, engine)
    return lines


def _coverage_lines(study: Any, own: Rows, engine: str) -> list[str]:
    """Whether intervals cover as often as they should, over the cells."""
    if max(row["num"] for row in own) < FEWEST:
        return [f"{engine}: {FEWEST} data sets per cell are the least for a verdict on coverage."]
    lines, fine = [], {}
    for role in ("weights", "means", "covariances", "invariants"):
        rows = [row for row in own if (row["quantity"], row["role"]) == ("coverage", role)]
        wrong = [row for row in rows if abs(row["value"] - study.level) > max(CLEAR * _error(study, row), MATTERS)]
        if rows and not wrong:
            fine[role] = [row["value"] for row in rows]
        if wrong:
            lines.append(f"{engine}: {study.level:g} intervals of {role} cover {_wrong_words(study, wrong)}.")
    if fine:
        values = [f"{value:.3f}" for row in fine.values() for value in (min(row), max(row))]
        seen = " to ".join(dict.fromkeys((min(values), max(values))))
        lines.append(f"{engine}: {study.level:g} intervals of {', '.join(fine)} show no departure ({seen}).")
    return lines


def _wrong_words(study: Any, wrong: Rows) -> str:
    """How coverage departs, and where."""
    places = "; ".join(f"{_place(study, row)}: {plus_minus([row['value']], [row['se']])[0]}" for row in wrong[:MOST])
    left = len(wrong) - MOST
    more = f"; and {left} more cell{'s' if left > 1 else ''}" if left > 0 else ""
    below = {row["value"] < study.level for row in wrong}
    which = "not at their level" if len(below) > 1 else "too rarely" if below == {True} else "too often"
    return f"{which} ({places}{more})"


def _error(study: Any, row: dict[Any, Any]) -> float:
    """Monte Carlo error of a coverage; of few data sets at least that of one interval, since all or none may cover."""
    least = 0.0 if row["num"] >= ENOUGH and row["se"] > 0 else np.sqrt(study.level * (1.0 - study.level) / row["num"])
    return max(row["se"], least)


def _share_line(study: Any, own: Rows, engine: str, name: str, words: str) -> list[str]:
    rows = [row for row in own if row["quantity"] == name and row["value"] < SELDOM]
    if not rows:
        return []
    worst = min(rows, key=lambda row: row["value"])
    return [f"{engine}: {words} in {100 * worst['value']:.0f} % of the data sets with {_place(study, worst)}."]


def _failure_line(study: Any, engine: str) -> list[str]:
    table = study.failures()
    own = table[table["engine"] == engine]
    if own.empty:
        return []
    lines = []
    for what, rows in own.groupby("what"):
        kinds = rows.groupby("why")["count"].sum().sort_values(ascending=False)
        words = "failed on" if what == "failed" else "gave no interval for"
        lines.append(f"{engine}: {words} {kinds.sum()} data sets; most often: {kinds.index[0]} ({kinds.iloc[0]}).")
    return lines


def _place(study: Any, row: Any) -> str:
    return ", ".join(f"{name} {row[name]}" for name in varying(study))


def _in_cell(frame: "pd.DataFrame", cell: Any) -> np.ndarray:
    inside = np.ones(len(frame), bool)
    for name, value in cell.place.items():
        inside &= (frame[name] == value).to_numpy()
    return inside
