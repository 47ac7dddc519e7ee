"""The result of a study: a table of figures, an xarray Dataset, a verdict and pictures."""

import json
from dataclasses import dataclass
from functools import cached_property
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bayesgmm.comparison.manifest import versions
from bayesgmm.engines.engine import find_engine
from bayesgmm.errors import ArgumentError
from bayesgmm.results.parameters import parameter_names
from bayesgmm.runtime.arguments import check_choice
from bayesgmm.runtime.files import Output, csv_form, tree_forms
from bayesgmm.runtime.fingerprint import fingerprint_of_seed
from bayesgmm.runtime.formatting import as_html, as_text, for_html, wrapped
from bayesgmm.runtime.written_tables import Written
from bayesgmm.studies.identity import identity
from bayesgmm.studies.replicate import Plan, simulated_table
from bayesgmm.studies.tables import (
    ROLES,
    Column,
    columns_of,
    distance,
    each_parameter,
    mean_of,
    result_figures,
    role_figures,
    sizes_of,
)
from bayesgmm.studies.truths import Cell

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr


@dataclass(frozen=True, repr=False)
class Study(Written):
    """Figures of every engine in every cell, with Monte Carlo standard errors."""

    plan: Plan
    cells: list[Cell]
    num_replicates: int
    """Data sets per cell that were asked for."""
    lines: dict[tuple[str, int], dict[str, Any]]
    """What was kept of each replicate, by cell and number."""
    seed: Any

    @property
    def level(self) -> float:
        """Of the intervals."""
        return self.plan.level

    @property
    def engines(self) -> list[str]:
        """The columns."""
        return list(self.plan.engines)

    @property
    def interrupted(self) -> bool:
        """Whether replicates are missing."""
        return len(self.lines) < len(self.cells) * self.num_replicates

    @cached_property
    def _columns(self) -> dict[tuple[str, str], Column]:
        return columns_of(self.cells, self.plan, self.lines)

    @cached_property
    def _frame(self) -> "pd.DataFrame":
        import pandas as pd

        rows = []
        for cell in self.cells:
            for engine in self.engines:
                column, here = self._columns[cell.label, engine], {**cell.place, "engine": engine}
                num, dim = sizes_of(cell, self.plan)
                with_prior = find_engine(self.plan.engines[engine][0]).uses_prior
                figures = [("", name, figure) for name, figure in result_figures(column, with_prior)]
                for role, name, figure in [*role_figures(column, num, dim, bool(self.plan.truths.fixed)), *figures]:
                    if figure.num > 0:
                        rows.append({**here, "role": role, "quantity": name, **figure._asdict()})
        return pd.DataFrame(rows)

    def to_frame(self) -> "pd.DataFrame":
        """All figures in one long table: a row per cell, engine, role and quantity: value, se and num (of data sets).

        Errors (``bias``, ``rmse``) and ``width`` of means are in sds of the true component, those of covariances in
        products of these sds, those of weights as they are. ``role`` is empty for figures of whole results.
        """
        return self._frame.copy()

    def to_dataframe(self) -> "pd.DataFrame":
        """The same as `to_frame`; every result has this name."""
        return self.to_frame()

    @cached_property
    def dataset(self) -> "xr.Dataset":
        """All figures over the dims of the grid, ``engine`` and ``role``; ``…_se`` are Monte Carlo standard errors."""
        import xarray as xr

        frame, grid = self._frame, list(self.cells[0].place)
        parts = []
        for name, rows in frame.groupby("quantity", sort=False):
            dims = [*grid, "engine", *(["role"] if set(rows["role"]) != {""} else [])]
            found = rows.set_index(dims)[["value", "se"]].to_xarray()
            parts.append(found.rename(value=name, se=f"{name}_se"))
        merged = xr.merge(parts, join="outer")
        order = {"engine": self.engines, "role": [role for role in ROLES if role in set(merged["role"].to_numpy())]}
        return merged.reindex(order).assign_attrs(level=self.level, num_replicates=self.num_replicates)

    def parameters(self) -> "pd.DataFrame":
        """Bias, RMSE, coverage and width of each parameter, with standard errors; for fixed truths only."""
        import pandas as pd

        if not self.plan.truths.fixed:
            raise ArgumentError(
                "Each replicate has a truth of its own, so no parameter is the same in all. to_frame has averages."
            )
        rows = []
        for cell in self.cells:
            num, dim = sizes_of(cell, self.plan)
            names = parameter_names(simulated_table(np.zeros((1, dim))), num)
            for engine in self.engines:
                rows += [
                    {**cell.place, "engine": engine, "parameter": name, **figures}
                    for name, figures in zip(
                        names, each_parameter(self._columns[cell.label, engine], num, dim), strict=False
                    )
                ]
        return pd.DataFrame(rows)

    def replicates(self) -> "pd.DataFrame":
        """A row per data set and engine: log score, adjusted Rand, objective, seconds, failure, and so on."""
        import pandas as pd

        rows = []
        for cell in self.cells:
            for number in range(self.num_replicates):
                for engine, found in self.lines.get((cell.label, number), {"engines": {}})["engines"].items():
                    figures = {name: value for name, value in found.items() if not isinstance(value, list)}
                    rows.append({**cell.place, "replicate": number, "engine": engine, **figures})
        return pd.DataFrame(rows)

    def failures(self) -> "pd.DataFrame":
        """How often each engine failed, or gave no interval, by kind."""
        import pandas as pd

        counts: dict[tuple, int] = {}
        for (cell, engine), column in self._columns.items():
            kinds = [("failed", why) for why in column.failures]
            kinds += [("no interval", one["no_interval"]) for one in column.found if "no_interval" in one]
            for kind in kinds:
                counts[cell, engine, *kind] = counts.get((cell, engine, *kind), 0) + 1
        rows = [(*key, count) for key, count in counts.items()]
        return pd.DataFrame(rows, columns=["cell", "engine", "what", "why", "count"])

    def parting(self, first: str | None = None, second: str | None = None) -> "pd.DataFrame":
        """Where two engines part: the mean distance of their estimates, in sds of the second, per cell.

        Parameters
        ----------
        first, second
            Columns. By default the first point estimate, and the first engine that draws.

        Raises
        ------
        ArgumentError
            If there are no two such engines.
        """
        import pandas as pd

        first, second = self.pair(first, second)
        rows = []
        for cell in self.cells:
            of_cell = [line for (label, _), line in sorted(self.lines.items()) if label == cell.label]
            gaps = [gap for line in of_cell if (gap := distance(line["engines"], first, second)) is not None]
            rows.append({**cell.place, **mean_of(np.array(gaps, float))._asdict()})
        return pd.DataFrame(rows)

    def is_point(self, engine: str) -> bool:
        """Whether a column has point estimates.

        Raises
        ------
        ArgumentError
            If the study has no column of that name.
        """
        check_choice("engine", engine, self.engines)
        return not find_engine(self.plan.engines[engine][0]).draws

    @property
    def can_part(self) -> bool:
        """Whether there are a point estimate and an engine that draws."""
        return len({find_engine(name).draws for name, _ in self.plan.engines.values()}) == 2

    def pair(self, first: str | None = None, second: str | None = None) -> tuple[str, str]:
        """Two columns to compare; by default the first point estimate and the first engine that draws."""
        kinds = {label: find_engine(name).draws for label, (name, _) in self.plan.engines.items()}
        points = [label for label, draws in kinds.items() if not draws]
        drawn = [label for label, draws in kinds.items() if draws]
        if not (points and drawn):
            raise ArgumentError("A study needs a point estimate and an engine that draws to see where they part.")
        chosen = points[0] if first is None else first, drawn[0] if second is None else second
        for name, value in zip(("first", "second"), chosen, strict=True):
            check_choice(name, value, tuple(kinds))
        return chosen

    def summary(self) -> "pd.DataFrame":
        """The main figures as text: a row per cell and engine, value ± Monte Carlo standard error."""
        from bayesgmm.studies.words import summary

        return summary(self)

    def verdict(self) -> list[str]:
        """The conclusions, in a few sentences."""
        from bayesgmm.studies.words import verdict

        return verdict(self)

    def plot(self, axes: Any = None) -> Any:
        """Plot the coverage of the intervals. See `bayesgmm.plots.plot_coverage`; returns an array of axes."""
        from bayesgmm import plots

        return plots.plot_coverage(self, axes)

    def save(self, directory: str | PathLike | Output) -> list[Path]:
        """Write the dataset (``study.nc``), the tables and a manifest.

        Files are ``study.csv`` (the long table), ``replicates.csv``, ``failures.csv`` and ``manifest.json`` (settings,
        seed, versions).

        Raises
        ------
        ArgumentError
            If nothing can be written to the directory.
        """
        output = directory if isinstance(directory, Output) else Output(directory, "directory")
        tables = {"study": self.to_frame, "replicates": self.replicates, "failures": self.failures}
        written = [output.save(name, csv_form(make, index=False)) for name, make in tables.items()]
        written.append(output.save("study", tree_forms(self._tree)))
        written.append(output.save("manifest", {".json": self._manifest}))
        return [path for path in written if path is not None]

    def _manifest(self) -> bytes:
        """What made the study: its settings, cells and versions, as JSON."""
        content = {
            **identity(self.plan), "seed": fingerprint_of_seed(self.seed), "num_replicates": self.num_replicates,
            "cells": [cell.label for cell in self.cells], "versions": versions(),
        }  # fmt: skip
        return (json.dumps(content, indent=2, default=str) + "\n").encode()

    def _tree(self) -> Any:
        import xarray as xr

        return xr.DataTree(self.dataset)

    def _title(self) -> str:
        part = f" of {len(self.cells) * self.num_replicates}" if self.interrupted else ""
        cells = f"{len(self.cells)} cell{'s' if len(self.cells) > 1 else ''}"
        return f"Study: {cells}, {len(self.lines)}{part} data sets; {', '.join(self.engines)}"

    def __repr__(self) -> str:
        return "\n".join([as_text(self._title(), self.summary()), *map(wrapped, self.verdict())])

    def _repr_html_(self) -> str:
        lines = "".join(f"<li>{for_html(line)}</li>" for line in self.verdict())
        return as_html(self._title(), self.summary()) + f"<ul>{lines}</ul>"
