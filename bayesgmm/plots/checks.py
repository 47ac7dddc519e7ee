"""Plots of model checks, by ArviZ where available, in the style of the package."""

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bayesgmm.plots.style import WIDTH, axes_of, labeller, styled
from bayesgmm.runtime.formatting import for_figure, for_tree

NOTICED = 0.05
"""Sensitivity above which ArviZ reports a quantity."""
MOST_QUANTITIES = 40
MOST_STATISTICS = 36
MOST_FEATURES = 12
PRIOR, LIKELIHOOD = "#D55E00", "#0072B2"


def plot_check(check: Any) -> dict[str, Figure]:
    """Draw every part of a `ModelCheck`: k-hat, LOO-PIT, tails, pairs, clusters, prior."""
    figures = {"k-hat": plot_khat(check.loo), "LOO-PIT": plot_pit(check.pit)}
    figures |= plot_predictive_checks(check.predictive)
    prior = plot_sensitivity(check.sensitivity)
    return figures | {"prior": prior.figure}  # pyright: ignore[reportReturnType]


@styled
def plot_khat(elpd: Any) -> Figure:
    """Draw Pareto k-hat of each row (``az.plot_khat``); rows above the threshold are shown by their number."""
    import arviz as az  # ArviZ loads only when it draws

    rows = elpd.pareto_k.size
    drawn = az.plot_khat(
        elpd, threshold=elpd.good_k, figure_kwargs={"figsize": (WIDTH, 3.6), "layout": "constrained"},
        visuals={
            "khat": {"size": 30 if rows < 1000 else 4}, "hlines": {"color": "#888888"},
            "threshold_text": {"vertical_align": "top"}, "xlabel": {"text": "row"}, "ylabel": {"text": "Pareto k-hat"},
        },
    )  # fmt: skip
    return drawn.viz["figure"].item()


@styled
def plot_pit(tree: Any) -> Figure:
    """Draw the distribution function of the LOO-PITs of each feature minus the uniform one (``az.plot_ecdf_pit``)."""
    import arviz as az  # ArviZ loads only when it draws

    shown = list(tree["loo_pit"]["feature"].values[:MOST_FEATURES])
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
    return figure


@styled
def plot_predictive_checks(checks: Any) -> dict[str, Figure]:
    """Draw statistics of the data and of the replicates (``az.plot_ppc_tstat``): tails, pairs, clusters, a figure each.

    The dot is the statistic of the data. Statistics that are equal in all replicates are left out.
    """
    import arviz as az  # ArviZ loads only when it draws

    tree, figures = checks.datatree, {}
    moving = [name for name, values in checks.replicated.items() if np.ptp(values) > 0]
    for aspect in dict.fromkeys(checks.aspects.values()):
        names = [name for name in moving if checks.aspects[name] == aspect][:MOST_STATISTICS]
        if not names:
            continue
        columns = min(len(names), 3)
        size = (WIDTH * columns / 3, 1.7 * -(-len(names) // columns))
        drawn = az.plot_ppc_tstat(
            tree, var_names=[for_tree(str(name)) for name in names], t_stat="mean", col_wrap=columns,
            labeller=labeller(40),
            figure_kwargs={"figsize": size, "layout": "constrained"},
            kind="hist" if aspect == "clusters" else "kde",  # row counts are discrete
            visuals={"title": {"size": 9}, "observed_tstat": {"color": PRIOR}},
        )  # fmt: skip
        figures[aspect] = drawn.viz["figure"].item()
    return figures


@styled
def plot_sensitivity(table: Any, ax: Any = None) -> Axes:
    """Draw the sensitivity of each quantity to the prior and to the likelihood (`prior_sensitivity`)."""
    shown = table.loc[table["prior"].sort_values(ascending=False).index[:MOST_QUANTITIES]]
    shown = table.loc[[name for name in table.index if name in shown.index]]
    ax = axes_of(ax, 1.0 + 0.2 * len(shown))
    places = np.arange(len(shown))[::-1]
    ax.hlines(places, shown["prior"], shown["likelihood"], color="#CCCCCC", linewidth=1.0, zorder=1)
    ax.scatter(shown["likelihood"], places, color=LIKELIHOOD, s=22, label="likelihood", zorder=2)
    ax.scatter(shown["prior"], places, color=PRIOR, s=22, label="prior", zorder=3)
    ax.axvline(NOTICED, color="#666666", linewidth=0.8, linestyle="--")
    ax.set_yticks(places, [for_figure(str(name)) for name in shown.index])
    ax.set_ylim(-0.7, len(shown) - 0.3)
    ax.set_xlim(left=0.0)
    ax.set_xlabel("power-scaling sensitivity")
    left = f" (of {len(table)}, the {len(shown)} most sensitive to the prior)" if len(shown) < len(table) else ""
    ax.set_title(f"Sensitivity to the prior and to the likelihood{left}")
    ax.legend(loc="center left", bbox_to_anchor=(1.0, 0.5))
    return ax


def _feature_names() -> Any:
    """A labeller whose titles show only the feature."""
    escaped = type(labeller(32))

    class Features(escaped):
        def make_label_vert(self, var_name, sel, isel):
            return self.sel_to_str(sel, isel)

    return Features()
