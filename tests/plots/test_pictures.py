"""Every picture on 1, 2 and 8 features: numbers, colours by class, legends, features by name, typed errors."""

import subprocess
import sys
from dataclasses import replace

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.collections import PathCollection
from matplotlib.colors import to_rgb
from matplotlib.lines import Line2D
from matplotlib.patches import Ellipse

import bayesgmm as bg
from bayesgmm import plots
from bayesgmm.errors import ArgumentError
from bayesgmm.plots.classes import class_of_rows
from bayesgmm.plots.style import component_color, in_style, listed


def written(artist) -> list[str]:
    return [text.get_text() for text in artist.findobj(mpl.text.Text) if text.get_text() and text.get_visible()]


def legend_of(ax) -> list[str]:
    legends = [ax.get_legend(), *ax.figure.legends]
    return [text.get_text() for legend in legends if legend is not None for text in legend.get_texts()]


@pytest.mark.parametrize("dim", [1, 2, 8])
def test_components_have_numbers_classes_and_a_legend(made, dim):
    results = made[dim]
    ax = plots.plot_components(results)
    num = results["em"].n_components
    assert {str(k) for k in range(num)} <= {text.get_text() for text in ax.texts}
    listed = legend_of(ax)
    assert sum("em" in text for text in listed) == 2  # its line, and the colours of the rows
    assert any("gibbs" in text for text in listed)
    assert {str(k) for k in range(1, num)} <= set(listed)
    assert any(f"component 0 by {next(iter(results))}" in text for text in listed)
    if dim > 1:
        assert sum(isinstance(patch, Ellipse) for patch in ax.patches) == 2 * num
        points = next(one for one in ax.collections if isinstance(one, PathCollection))
        colors = {tuple(color[:3]) for color in np.round(points.get_facecolor(), 6)}
        classes = set(results["em"].predict(results["em"].table.values).tolist())
        assert colors == {tuple(np.round(to_rgb(component_color(k)), 6)) for k in classes}
    words = " ".join(written(ax.figure))
    assert ("5 of 8 features, those that separate the components most" in words) == (dim == 8)
    means = plots.plot_means(results)
    assert means.shape == (num, min(dim, 4))
    assert ("first 4 of 8 features" in " ".join(written(means[0, 0].figure))) == (dim == 8)
    assert {"estimate", "posterior median", "50 % interval", "95 % interval"} == set(legend_of(means[0, 0]))


@pytest.mark.parametrize("dim", [1, 2, 8])
def test_classes_are_those_of_predict(made, dim):
    for result in made[dim].values():
        rows = np.asarray(result.table.values)
        np.testing.assert_array_equal(class_of_rows(result, rows), result.predict(rows))


@pytest.mark.parametrize("dim", [1, 2, 8])
def test_traces_and_points_name_what_they_show(made, dim):
    gibbs = made[dim]["gibbs"]
    axes = plots.plot_traces(gibbs)
    assert legend_of(axes[0, 0]) == ["chain 0", "chain 1"]
    assert legend_of(axes[1, 0]) == [f"component {k}" for k in range(gibbs.n_components)]
    assert (f"1 of {dim} features" in axes[2, 0].get_ylabel()) == (dim > 1)
    ax = plots.plot_point_process(bg.relabel(gibbs))
    assert legend_of(ax)[: gibbs.n_components] == [f"component {k}" for k in range(gibbs.n_components)]
    assert ("first 2 of 8 features" in ax.get_title(loc="left")) == (dim == 8)
    ax = plots.plot_uncertainty(bg.partition(gibbs, num_starts=2, progress_bar=False))
    assert ("first 2 of 8 features" in ax.get_title(loc="left")) == (dim == 8)


def test_features_by_name_or_index(made):
    results = made[8]
    ax = plots.plot_components(results, features=("column 5", 0))
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("column 5", "column 0")
    assert ax.get_title(loc="left") == "column 5, column 0: 2 of 8 features"
    assert plots.plot_components(results, features="column 7").get_xlabel() == "column 7"
    assert plots.plot_components(results, features=range(3)).figure.get_suptitle() == "first 3 of 8 features"
    assert plots.plot_means(results, features=["column 6"])[0, 0].get_title(loc="left") == "mean of column 6"
    assert "column 3" in plots.plot_traces(results["gibbs"], features=3)[2, 0].get_ylabel()
    rings = plots.plot_point_process(bg.relabel(results["gibbs"]), features=[7, "column 1"])
    assert (rings.get_xlabel(), rings.get_ylabel()) == ("mean of column 7", "mean of column 1")


@pytest.mark.parametrize("wrong", ["nope", [0, 0], [8], [-1], [True], [0.0], [None], 8, True, 1.0, [], [["column 0"]]])
def test_wrong_features_are_refused(made, wrong):
    with pytest.raises(ArgumentError, match="features must"):
        plots.plot_components(made[8], features=wrong)
    with pytest.raises(ArgumentError, match="features must"):
        plots.plot_means(made[8], features=wrong)


def test_rows_that_are_not_drawn_are_counted(made):
    fit = made[2]["em"]
    many = replace(fit.table, values=np.tile(fit.table.values, (100, 1)))
    ax = plots.plot_components(replace(fit, model=replace(fit.model, table=many)))
    assert ax.get_title(loc="left") == "4,500 of 9,000 rows"


def test_draws_of_an_approximation_are_no_chains(made):
    """Independent draws have nothing to mix: the title must not call them four chains that mixed."""
    x = made[2]["em"].table.values
    laplace = bg.fit_laplace(x, 2, num_samples=30, num_chains=2, seed=0, progress_bar=False)
    title = plots.plot_traces(laplace)[0, 0].get_title(loc="left")
    assert title == "laplace: 60 independent draws"
    words = plots.plot_traces(made[2]["gibbs"])[0, 0].get_title(loc="left")
    assert f"R-hat {made[2]['gibbs'].worst_rhat:.3f}" in words
    assert "mixed (" in words or "slightly short (" in words


@pytest.mark.parametrize("name", plots.__all__)
@pytest.mark.parametrize("wrong", [None, 5, "fit", [], {}, {"em": 5}, np.ones(3), object()])
def test_a_wrong_first_argument_is_refused_with_what_it_takes(name, wrong):
    with pytest.raises(ArgumentError, match=rf"{name} takes"):
        getattr(plots, name)(wrong)


def test_a_result_of_another_kind_is_refused(made):
    fit, gibbs = made[2].values()
    for name in plots.__all__:
        if name not in (
            "plot_components",
            "plot_means",
            "plot_ascent",
            "plot_regression",
            "plot_intervals",
            "plot_projection",
        ):
            with pytest.raises(ArgumentError, match=f"{name} takes"):
                getattr(plots, name)(fit)
    with pytest.raises(
        ArgumentError, match=r"plot_ascent takes as fits a MixtureFit, such as bg.fit_em.*got a Posterior"
    ):
        plots.plot_ascent(gibbs)
    with pytest.raises(ArgumentError, match=r"fits\['g'\]"):
        plots.plot_ascent({"e": fit, "g": gibbs})
    with pytest.raises(ArgumentError, match=r"bg\.prior_sensitivity"):
        plots.plot_sensitivity(pd.DataFrame({"prior": [1.0]}))
    with pytest.raises(ArgumentError, match=r"bg\.loo_pit"):
        plots.plot_pit(gibbs.datatree)
    with pytest.raises(ArgumentError, match="same features"):
        plots.plot_components({"a": fit, "b": made[8]["em"]})
    three = bg.fit_em(fit.table.values, 3, prior="default", n_init=3, progress_bar=False)
    two = bg.fit_em(fit.table.values, 2, prior="default", n_init=3, progress_bar=False)
    assert plots.plot_components({"two": two, "three": three})
    with pytest.raises(ArgumentError, match="equal numbers of components"):
        plots.plot_means({"two": two, "three": three})


def test_results_draw_themselves(made):
    for result in made[8].values():
        assert isinstance(result.plot(), Axes)
        assert result.plot(features=[0, 7]).get_ylabel() == "column 7"
        _, ax = plt.subplots()
        assert result.plot(ax, ["column 0"]) is ax
    table = bg.fit_table(made[2]["em"].table.values, [1, 2], ["EII", "VVV"], n_init=2, progress_bar=False)
    ax = table.plot()
    assert legend_of(ax) == [*sorted(["EII", "VVV"], key=lambda family: table.frame()[family].min()), "best model"]


def test_plots_need_no_import(clean_environment):
    code = """
import sys
import bayesgmm as bg
print("matplotlib" in sys.modules, "plots" in dir(bg), bg.plots.plot_table.__name__, "matplotlib" in sys.modules)
"""
    found = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=clean_environment
    )
    assert found.stdout.split() == ["False", "True", "plot_table", "True"]


def test_a_legend_of_many_components_ends_with_their_number():
    """Sixty entries are higher than the figure: matplotlib then gives up its layout, with a warning."""
    handles = [Line2D([], [], label=str(k)) for k in range(60)]
    assert [handle.get_label() for handle in listed(handles)[-2:]] == ["9", "and 50 more"]
    assert listed(handles[:10]) == handles[:10]


def test_a_regression_has_its_bands_and_a_legend(made):
    results = made[2]
    ax = plots.plot_regression(results["gibbs"])
    labels = legend_of(ax)
    assert labels == ["rows", "gibbs: mean", "gibbs: 0.9 interval of the mean", "gibbs: 0.9 interval of a row"]
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("column 0", "column 1")
    line = next(line for line in ax.lines if len(line.get_xdata()) > 100)
    expected = results["gibbs"].regress("column 1", np.asarray(line.get_xdata()), on="column 0").mean
    np.testing.assert_allclose(np.asarray(line.get_ydata(), float), expected)
    ax = plots.plot_regression(made[8], features=("column 5", 2), level=0.5)
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("column 5", "column 2")
    assert ax.get_title(loc="left") == "column 5, column 2: 2 of 8 features"
    assert "em: 0.5 interval of a row" in legend_of(ax)
    with pytest.raises(ArgumentError, match="2 different names"):
        plots.plot_regression(results["em"], features=[0])
    with pytest.raises(ArgumentError, match="level"):
        plots.plot_regression(results["em"], level=1.0)
    with pytest.raises(ArgumentError, match="needs two features"):
        plots.plot_regression(made[1]["em"])


def test_the_style_leaves_interactive_mode_as_the_first_figure_set_it():
    """A notebook loads its backend with the first figure, and the backend switches interactive mode on."""
    before = mpl.is_interactive()
    try:
        mpl.interactive(False)
        with in_style():
            assert mpl.rcParams["axes.spines.top"] is False
            mpl.interactive(True)
        assert mpl.is_interactive()
        assert mpl.rcParams["axes.spines.top"] is True
    finally:
        mpl.interactive(before)
