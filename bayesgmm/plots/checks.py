"""Plots of model checks, by ArviZ where available, in the style of the package."""

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from bayesgmm.errors import ArgumentError
from bayesgmm.plots.arguments import feature_indices, features_note, styled
from bayesgmm.plots.style import WIDTH, axes_of, beside, labeller, write_note
from bayesgmm.runtime.formatting import for_figure, for_tree

NOTICED = 0.05
"""Sensitivity above which ArviZ reports a quantity."""
MOST_QUANTITIES = 40
MOST_STATISTICS = 36
MOST_NUMBERED = 10
MOST_FEATURES = 12
PRIOR, LIKELIHOOD = "#D55E00", "#0072B2"


@styled("ModelCheck")
def plot_check(check: Any) -> dict[str, Figure]:
    """Draw every part of a `ModelCheck`: k-hat, LOO-PIT, tails, pairs, clusters, prior (if it is known)."""
    figures = {"k-hat": plot_khat(check.loo), "LOO-PIT": plot_pit(check.pit)}
    figures |= plot_predictive_checks(check.predictive)
    if check.sensitivity is None:
        return figures
    prior = plot_sensitivity(check.sensitivity)
    return figures | {"prior": prior.figure}  # pyright: ignore[reportReturnType]


@styled("ELPDDataLOO")
def plot_khat(elpd: Any) -> Figure:
    """Draw Pareto k-hat of each row. Rows above the threshold are coloured, and the largest are numbered.

    Raises
    ------
    ArgumentError
        If `elpd` is no result of `bayesgmm.loo`.
    """
    if elpd.pareto_k is None or elpd.good_k is None:
        raise ArgumentError("plot_khat takes a result of bg.loo(posterior); cross-validation by folds has no k-hat.")
    khat, ax = np.asarray(elpd.pareto_k).ravel(), axes_of(None, 3.6)
    high = khat > elpd.good_k
    rows, size = np.asarray(elpd.pareto_k["obs"]), 16 if len(khat) < 1000 else 4
    ax.scatter(rows[~high], khat[~high], s=size, color=LIKELIHOOD, linewidths=0, label="reliable")
    ax.scatter(rows[high], khat[high], s=size, color=PRIOR, linewidths=0, label="not reliable")
    ax.axhline(elpd.good_k, color="#666666", linewidth=0.8, linestyle="--", label=f"threshold {elpd.good_k:.2f}")
    for row in np.argsort(-khat)[: min(MOST_NUMBERED, int(high.sum()))]:
        ax.annotate(str(rows[row]), (rows[row], khat[row]), xytext=(3, 3), textcoords="offset points", fontsize=8)
    ax.set_xlabel("row")
    ax.set_ylabel("Pareto k-hat")
    which = f"; the {MOST_NUMBERED} largest are numbered" if high.sum() > MOST_NUMBERED else ""
    total = f" (a sample of {elpd.n_data_points:,})" if elpd.n_data_points > len(khat) else ""
    ax.set_title(f"Pareto k-hat: {high.sum()} of {len(khat):,} rows{total} are above {elpd.good_k:.2f}{which}")
    beside(ax, ax.get_legend_handles_labels()[0])
    return ax.figure


@styled("DataTree")
def plot_pit(tree: Any, features: Any = None) -> Figure:
    """Draw the distribution function of the LOO-PITs of each feature minus the uniform one (``az.plot_ecdf_pit``).

    Parameters
    ----------
    tree
        Result of `bayesgmm.loo_pit`.
    features
        Names or indices of the features to show; the first 12 by default.

    Raises
    ------
    ArgumentError
        If `tree` has no group ``loo_pit``.
    """
    import arviz as az  # ArviZ loads only when it draws

    if "loo_pit" not in tree.children or "feature" not in tree["loo_pit"].coords:
        raise ArgumentError("plot_pit takes as tree the result of bg.loo_pit(posterior); this tree has no loo_pit.")
    names = tuple(map(str, tree["loo_pit"]["feature"].values))
    chosen = feature_indices(features, names, MOST_FEATURES)
    shown = [tree["loo_pit"]["feature"].values[i] for i in chosen]
    columns = min(len(shown), 3)
    size = (WIDTH, 2.6 * -(-len(shown) // columns))
    drawn = az.plot_ecdf_pit(
        tree, group="loo_pit", sample_dims="obs", coords={"feature": shown}, labeller=_feature_names(),
        cols=["feature"], col_wrap=columns, figure_kwargs={"figsize": size, "layout": "constrained"},
        visuals={"xlabel": {"text": "LOO-PIT"}, "ylabel": {"text": "ECDF − uniform"}},
    )  # fmt: skip
    figure = drawn.viz["figure"].item()
    low, high = figure.axes[0].get_ylim()  # shared by all axes; the curve may touch them
    figure.axes[0].set_ylim(1.2 * low, 1.2 * high)
    departs = {"linestyle": "", "marker": "o", "markersize": 4, "color": "C1"}
    handles = [
        Line2D([], [], color="C0", label="LOO-PIT of the rows"),
        Line2D([], [], label="where it departs, if p is below α", **departs),
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=2)
    write_note(figure, features_note(chosen, names))
    return figure


@styled("PredictiveChecks")
def plot_predictive_checks(checks: Any) -> dict[str, Figure]:
    """Draw statistics of the data and of the replicates (``az.plot_ppc_tstat``): tails, pairs, clusters, a figure each.

    The dot is the statistic of the data, and the curve or histogram has those of the replicates. Statistics that are
    equal in all replicates are left out, as are those beyond 36 of an aspect; the title says so.
    """
    import arviz as az  # ArviZ loads only when it draws

    tree, figures = checks.datatree, {}
    moving = [name for name, values in checks.replicated.items() if np.ptp(values) > 0]
    for aspect in dict.fromkeys(checks.aspects.values()):
        every = [name for name in checks.replicated if checks.aspects[name] == aspect]
        names = [name for name in moving if checks.aspects[name] == aspect][:MOST_STATISTICS]
        if not names:
            continue
        columns = min(len(names), 3)
        size = (WIDTH * max(columns, 2) / 3, 0.6 + 1.7 * -(-len(names) // columns))
        drawn = az.plot_ppc_tstat(
            tree, var_names=[for_tree(str(name)) for name in names], t_stat="mean", col_wrap=columns,
            labeller=labeller(34),
            figure_kwargs={"figsize": size, "layout": "constrained"},
            kind="hist" if aspect == "clusters" else "kde",  # row counts are discrete
            visuals={"title": {"size": 8}, "observed_tstat": {"color": PRIOR}},
        )  # fmt: skip
        figures[aspect] = drawn.viz["figure"].item()
        write_note(figures[aspect], _left_out(names, [name for name in every if name in moving], every))
        figures[aspect].legend(handles=_statistic_handles(), loc="outside lower center", ncols=2)
    return figures


@styled("DataFrame")
def plot_sensitivity(table: Any, ax: Any = None) -> Axes:
    """Draw the sensitivity of each quantity to the prior and to the likelihood (`prior_sensitivity`).

    Of more than 40 quantities, those that are the most sensitive to the prior are shown; the title says so.

    Raises
    ------
    ArgumentError
        If `table` has no columns ``prior`` and ``likelihood``, or no rows.
    """
    if not {"prior", "likelihood"} <= set(table.columns) or len(table) == 0:
        raise ArgumentError("plot_sensitivity takes as table the result of bg.prior_sensitivity(posterior).")
    most = table["prior"].to_numpy(float).argsort()[::-1][:MOST_QUANTITIES]
    shown = table.iloc[np.sort(most)]
    ax = axes_of(ax, 1.0 + 0.2 * len(shown))
    places = np.arange(len(shown))[::-1]
    ax.hlines(places, shown["prior"], shown["likelihood"], color="#CCCCCC", linewidth=1.0, zorder=1)
    ax.scatter(shown["likelihood"], places, color=LIKELIHOOD, s=22, label="likelihood", zorder=2)
    ax.scatter(shown["prior"], places, color=PRIOR, s=22, label="prior", zorder=3)
    ax.axvline(NOTICED, color="#666666", linewidth=0.8, linestyle="--", label=f"{NOTICED}: sensitive above it")
    ax.set_yticks(places, [for_figure(str(name), 36) for name in shown.index])
    ax.set_ylim(-0.7, len(shown) - 0.3)
    ax.set_xlim(left=0.0)
    ax.set_xlabel("power-scaling sensitivity")
    left = f"\n(the {len(shown)} of {len(table)} most sensitive to the prior)" if len(shown) < len(table) else ""
    ax.set_title(f"Sensitivity to the prior and to the likelihood{left}")
    beside(ax, ax.get_legend_handles_labels()[0])
    return ax


def _left_out(shown: list[str], moving: list[str], every: list[str]) -> str:
    """What a figure of statistics does not show."""
    parts = [f"First {len(shown)} of {len(moving)} statistics"] * (len(shown) < len(moving))
    fixed = [for_figure(name, 30) for name in every if name not in moving]
    named = ", ".join(fixed[:2]) + (f" and {len(fixed) - 2} more" if len(fixed) > 2 else "")
    return "\n".join(parts + [f"Not drawn, as equal in all replicates: {named}"] * bool(fixed))


def _statistic_handles() -> list[Line2D]:
    return [
        Line2D([], [], linestyle="", marker="o", markersize=5, color=PRIOR, label="the data"),
        Line2D([], [], color="C0", label="replicates"),
    ]


def _feature_names() -> Any:
    """A labeller whose titles show only the feature."""
    escaped = type(labeller(26))

    class Features(escaped):
        def make_label_vert(self, var_name, sel, isel):
            return self.sel_to_str(sel, isel)

    return Features()
