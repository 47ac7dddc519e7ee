"""The forest of intervals: its lines, its limits, what it leaves out, and intervals of correlations by an oracle."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_rgb
from oracles.extents import assert_readable

import bayesgmm as bg
from bayesgmm import plots
from bayesgmm.errors import ArgumentError
from bayesgmm.plots import intervals as forest
from bayesgmm.plots.scalars import Quantity, Span, span_of, values_of
from bayesgmm.plots.style import component_color, engine_color
from bayesgmm.results.intervals import Intervals
from bayesgmm.results.parameters import flatten, parameter_names


def titles(axes) -> list[str]:
    return [ax.get_title(loc="left").replace("\n", " ") for ax in axes.flat if ax.get_visible()]


@pytest.mark.parametrize("dim", [1, 2, 8])
def test_every_component_has_a_line_of_every_engine(made, dim):
    results = made[dim]
    axes = plots.plot_intervals(results)
    num, features = results["em"].n_components, min(dim, 3)
    assert sum(ax.get_visible() for ax in axes.flat) == 1 + 2 * features + features * (features - 1) // 2
    for ax in axes.flat:
        if ax.get_visible():
            diamonds = [line for line in ax.lines if line.get_marker() == "D"]
            medians = [line for line in ax.lines if line.get_marker() == "o"]
            assert (len(diamonds), len(medians)) == (num, num)
            assert all(to_rgb(line.get_color()) == to_rgb(engine_color("em")) for line in diamonds)
            low, high = ax.get_xlim()
            assert all(low <= float(line.get_xdata()[0]) <= high for line in diamonds + medians)
    labels = axes[0, 0].get_yticklabels()
    assert [label.get_text() for label in labels] == [str(k) for k in range(num)]
    edges = [label.get_bbox_patch().get_edgecolor()[:3] for label in labels]
    np.testing.assert_allclose(edges, [to_rgb(component_color(k)) for k in range(num)])
    note = axes[0, 0].figure.get_suptitle()
    assert ("3 of 8 features, those that separate the components most" in note) == (dim == 8)
    assert_readable(axes[0, 0].figure)


def test_the_values_are_those_of_the_draws(made):
    draws = made[8]["gibbs"]
    span = span_of(draws, Quantity("sds", (3,)), 1, None)
    sds = np.sqrt(draws.params.covariances[:, :, 1, 3, 3])
    assert span == Span(
        pytest.approx(np.median(sds)), pytest.approx(tuple(np.quantile(sds, [0.25, 0.75]))),
        pytest.approx(tuple(np.quantile(sds, [0.025, 0.975]))),
    )  # fmt: skip
    covariances = draws.params.covariances[:, :, 2]
    expected = covariances[..., 1, 6] / np.sqrt(covariances[..., 1, 1] * covariances[..., 6, 6])
    np.testing.assert_allclose(values_of(draws.params, Quantity("correlations", (6, 1)), 2), expected)


def test_intervals_of_fits(made, rng):
    """Weights, means and roots of variances from the table; correlations as by the delta method with a numerical gradient."""
    fit = made[2]["em"]
    names = fit.table.features
    index = parameter_names(fit.table, 2)
    root = rng.normal(size=(len(index), len(index))) / 50.0
    estimates = flatten(fit.params)
    sides = {"estimate": estimates, "sd": 0.1, "lower": 0.8 * estimates, "upper": 1.2 * estimates}
    found = Intervals(pd.DataFrame(sides, index=index), "information", 0.95, (), root @ root.T)
    table = found.table
    for quantity, row, power in (
        (Quantity("weights"), "weights[1]", 1.0), (Quantity("means", (1,)), f"means[1, {names[1]}]", 1.0),
        (Quantity("sds", (1,)), f"covariances[1, {names[1]}, {names[1]}]", 0.5),
    ):  # fmt: skip
        expected = tuple(table.loc[row, ["lower", "upper"]].to_numpy(float) ** power)
        assert span_of(fit, quantity, 1, found).outer == pytest.approx(expected)
    rows = [f"covariances[1, {a}, {b}]" for a, b in ((names[0], names[0]), (names[0], names[1]), (names[1], names[1]))]
    at = table.loc[rows, "estimate"].to_numpy(float)
    score = lambda v: np.arctanh(v[1] / np.sqrt(v[0] * v[2]))  # noqa: E731
    steps = 1e-5 * np.eye(3)
    gradient = np.array([(score(at + step) - score(at - step)) / 2e-5 for step in steps])
    places = [list(table.index).index(row) for row in rows]
    se = np.sqrt(gradient @ found.covariance[np.ix_(places, places)] @ gradient)
    expected = np.tanh(score(at) + np.array([-1.959964, 1.959964]) * se)
    quantity = Quantity("correlations", (0, 1))
    assert span_of(fit, quantity, 1, found).outer == pytest.approx(tuple(expected), rel=1e-4)
    assert span_of(fit, quantity, 1, None).outer is None
    axes = plots.plot_intervals(made[2], intervals={"em": found})
    words = [text.get_text() for text in axes[0, 0].figure.legends[0].get_texts()]
    assert "95 % interval of the estimate" in words


def test_a_far_end_is_cut_off_and_the_legend_says_so(made):
    low, high = forest._limits([Span(0.0, (-1.0, 1.0), (-2.0, 90.0)), Span(3.0, (2.0, 4.0), (1.0, 5.0))])
    assert low < -2.0
    assert 5.0 < high < 30.0
    assert forest._limits([Span(2.0)])[0] < 2.0
    draws = made[2]["gibbs"]
    means = np.array(draws.params.means)
    means[:, ::8, 0, 0] += 1e4
    wild = replace(draws, params=draws.params._replace(means=means))
    axes = plots.plot_intervals(wild, "means")
    assert any(line.get_marker() == ">" for line in axes[0, 0].lines)
    legend = axes[0, 0].figure.legends[0]
    assert "goes on: cut off" in [text.get_text() for text in legend.get_texts()]


def test_of_many_components_the_largest_are_shown(made):
    fit = made[2]["em"]
    rng = np.random.default_rng(0)
    weights = np.r_[np.full(4, 0.02), np.full(8, 0.115)]
    params = bg.Params.of(weights / weights.sum(), rng.normal(size=(12, 2)), np.broadcast_to(np.eye(2), (12, 2, 2)))
    axes = plots.plot_intervals(replace(fit, params=params), ["weights", "sds"])
    assert [label.get_text() for label in axes[0, 0].get_yticklabels()] == [str(k) for k in range(4, 12)]
    assert "the 8 of 12 components with the largest weights" in axes[0, 0].figure.get_suptitle()


def test_parameters_and_features(made):
    axes = plots.plot_intervals(made[8], ("correlations", "weights"), features=["column 6", 2])
    assert titles(axes) == ["correlation of column 6, column 2", "weight"]
    assert titles(plots.plot_intervals(made[1])) == ["weight", "mean of column 0", "sd of column 0"]


@pytest.mark.parametrize("wrong", ["nope", [], ["weights", "weights"], [1], 3, None, [["weights"]]])
def test_wrong_parameters_are_refused(made, wrong):
    with pytest.raises(ArgumentError, match="parameters must"):
        plots.plot_intervals(made[2], wrong)


def test_what_else_is_refused(made):
    with pytest.raises(ArgumentError, match="one feature, and no correlations"):
        plots.plot_intervals(made[1], "correlations")
    fit = made[2]["em"]
    one = replace(fit, params=bg.Params(*(np.asarray(part)[:1] for part in fit.params)))
    with pytest.raises(ArgumentError, match="equal numbers of components"):
        plots.plot_intervals({"a": fit, "b": one})
    with pytest.raises(ArgumentError, match="array \\(2, 3\\)"):
        plots.plot_intervals(made[2], axes=3)
    with pytest.raises(ArgumentError, match="intervals must"):
        plots.plot_intervals(made[2], intervals={"em": 3})
