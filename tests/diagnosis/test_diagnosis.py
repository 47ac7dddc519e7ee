"""The diagnosis of draws: distinct modes against label switching, missed modes, and K larger than the data support."""

import warnings
from dataclasses import replace

import numpy as np
import pytest
from oracles.draws import made
from oracles.posteriors import RECTANGLE_PRIOR, rectangle

import bayesgmm as bg
from bayesgmm.diagnosis import label_invariant_view as view_module
from bayesgmm.diagnosis.chain_groups import group_chains, separations
from bayesgmm.diagnosis.density_modes import count_modes
from bayesgmm.diagnosis.missed_modes import MissedMode
from bayesgmm.errors import ArgumentError, DrawsError
from bayesgmm.model.types import Frame
from bayesgmm.numerics.assignment import renumber


def one_feature(rng, num, k=3):
    weights = rng.dirichlet(np.ones(k), num)
    means = rng.normal(size=(num, k, 1)) * 2
    sds = np.exp(0.5 * rng.normal(size=(num, k, 1, 1)))
    return bg.Params(weights[None], means[None], sds[None])


def test_modes_are_those_of_a_fine_grid(rng):
    params = one_feature(rng, 200)
    grid = np.linspace(-15, 15, 30_001)
    w, m, s = (np.asarray(part)[0].reshape(200, 3, 1) for part in params)
    density = (w / s * np.exp(-0.5 * ((grid - m) / s) ** 2)).sum(axis=1)
    humps = ((density[:, 1:-1] > density[:, :-2]) & (density[:, 1:-1] > density[:, 2:])).sum(axis=1)
    found = count_modes(params, Frame(np.zeros(1), np.ones(1)))[0]
    assert (found == humps).mean() > 0.98  # two modes 0.1 sd apart may count as one
    assert set(found) == {1, 2, 3}


def test_two_equal_gaussians_part_at_two_standard_deviations():
    for distance, modes in ((1.9, 1), (2.3, 2)):
        params = bg.Params.of([0.5, 0.5], [[0.0, 0.0], [distance * 3.0, 0.0]], [9.0 * np.eye(2)] * 2)
        found = count_modes(
            bg.Params(*(np.asarray(part)[None, None] for part in params)), Frame(np.ones(2), np.full(2, 2.0))
        )
        assert found.item() == modes


def test_the_view_equals_the_reference_and_is_label_invariant(rng):
    variables, x = made(rng, 1.5, rows=30, draws=40)
    view = bg.label_invariant_view(variables, x=x)
    order = rng.permuted(np.broadcast_to(np.arange(3), (2, 40, 3)), axis=-1)
    again = bg.label_invariant_view({name: renumber(v, order, 2) for name, v in variables.items()}, x=x)
    for name in set(view.data_vars) - {"occupied"}:  # random, so the same in distribution only
        np.testing.assert_allclose(view[name].values, again[name].values, rtol=1e-9, err_msg=str(name))
    for place in ((0, 3), (1, 17)):
        theta = bg.Params.of(*(variables[name][place] for name in ("weights", "means", "covariances")))
        r = bg.responsibilities(theta, x)
        assert view["allocation_entropy"].values[place] == pytest.approx(-(r * np.log(r)).sum(axis=1).mean())
        assert view["log_likelihood"].values[place] == pytest.approx(float(bg.log_likelihood(theta, x)))


def test_occupied_is_drawn_from_the_posterior_of_z(rng):
    """The probability that a component is empty is Π (1 - r_n)."""
    theta = bg.Params.of([0.85, 0.15], [[0.0], [0.6]], [[[1.0]], [[1.0]]])
    x = np.array([[0.1], [0.9], [-0.4]])
    many = {name: np.broadcast_to(part, (2, 1000, *np.shape(part))) for name, part in
            (("weights", theta.weights), ("means", theta.means), ("covariances", theta.covariances))}  # fmt: skip
    occupied = bg.label_invariant_view(many, x=x)["occupied"].values
    r = bg.responsibilities(theta, x)
    expected = 2.0 - (1.0 - r).prod(axis=0).sum()
    assert occupied.mean() == pytest.approx(expected, abs=4 * occupied.std() / np.sqrt(occupied.size))


def test_chains_are_grouped_by_place(rng):
    import xarray as xr

    level = np.array([0.0, 0.2, 4.0, 0.1])[:, None]
    values = level + rng.normal(size=(4, 400))
    values[3, 200:] += 5.0  # this chain moves
    view = xr.Dataset({"q": (("chain", "draw"), values), "occupied": (("chain", "draw"), np.zeros((4, 400)))})
    apart, drift = separations(view, [np.zeros((4, 400, 2))])
    assert apart[0, 1] < 0.5 < 3 < apart[0, 2]
    assert drift[:3].max() < 0.5
    assert drift[3] == pytest.approx(5.0, abs=0.5)
    assert group_chains(apart[:3, :3]) == [(0, 1), (2,)]
    # Neighbours are close, but the two ends are far apart: the three are not one group.
    places = np.array([0.0, 1.2, 2.4])
    assert group_chains(np.abs(places[:, None] - places)) != [(0, 1, 2)]


@pytest.fixture(scope="module")
def corners():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return bg.sample_gibbs(rectangle(), 2, prior=RECTANGLE_PRIOR, num_samples=500, seed=1)


def test_modes_are_distinguished_from_label_switching(corners):
    """Chains in two modes that differ mainly in the partition of the rows."""
    found = bg.diagnose(corners, search=False)
    assert found.status == "stuck"
    assert found.groups == ((0, 1), (2, 3))
    assert found.stacking.sum() == pytest.approx(1.0, abs=1e-3)
    text = " ".join(found.verdict())
    assert "2 different modes" in text
    assert "not shares of the posterior" in text
    assert list(found.by_group()["chains"]) == [2, 2]
    assert "log_posterior" in repr(found)
    assert found.components_by_group().shape[0] == 2


def test_all_chains_in_one_wrong_mode(corners):
    """R-hat is below 1.02; EM finds the mode that holds three quarters of the posterior."""
    two = replace(corners, params=bg.Params(*(part[:2] for part in corners.params)), permutations=corners.permutations[:2],
                  log_likelihood=corners.log_likelihood[:2], log_prior=corners.log_prior[:2])  # fmt: skip
    found = bg.diagnose(two)
    assert found.worst_rhat < 1.02
    assert found.status == "missed mode"
    assert found.missed.matters
    odds = np.exp(found.missed.log_mass_ratio)  # exact: 0.75 / 0.25, by enumeration in test_tempering
    assert 1.5 < odds < 6
    assert "wrong mode" in " ".join(found.verdict())


def test_a_small_missed_mode_does_not_matter(rng):
    variables, x = made(rng, 7.0, draws=400)
    fit = bg.fit_em(rectangle(), 2, prior=RECTANGLE_PRIOR, n_init=4)
    sound = bg.diagnose(variables, x=x)
    little, much = (replace(sound, missed=MissedMode(fit, 1.0, log_ratio)) for log_ratio in (-5.0, 2.0))
    assert (sound.status, little.status, much.status) == ("sound", "sound", "missed mode")
    assert "too little to matter" in " ".join(little.verdict())
    assert "a wrong mode" in " ".join(much.verdict())


def test_labels_that_switch_all_the_time_are_harmless(rng):
    variables, x = made(rng, 7.0, draws=400)
    found = bg.diagnose(variables, x=x)
    assert found.status == "sound"
    assert found.num_switches > 300
    assert found.num_permutations == 6
    text = " ".join(found.verdict())
    assert "harmless" in text
    assert "read one by one" in text
    assert found.component_rhat < 1.02
    assert found.occupied.to_dict() == {3: 1.0}
    assert found.modes.to_dict() == {3: 1.0}


def test_components_that_overlap_are_not_to_be_read_one_by_one(rng):
    variables, x = made(rng, 0.3, draws=400)
    found = bg.diagnose(variables, x=x)
    assert found.mixed
    assert found.status in ("labels in doubt", "too many components")
    assert "do not read them one by one" in " ".join(found.verdict())


def test_too_large_k_is_reported(reference_data):
    """Six components under a sparse prior, on the galaxies."""
    x = reference_data["galaxy_corrected"]
    prior = bg.default_prior(x, 6)._replace(weights=bg.Dirichlet(0.05))
    gibbs = bg.sample_gibbs(x, 6, prior=prior, num_warmup=500, num_samples=1500, seed=3)
    found = bg.diagnose(gibbs, search=False)
    assert found.too_many
    assert found.occupied.idxmax() < 6
    text = " ".join(found.verdict())
    assert "K = 6 is too large for these data" in text
    assert "read K₊" in text


def test_too_few_draws_and_approximations(rng):
    variables, x = made(rng, 7.0, draws=3)
    assert bg.diagnose(variables, x=x).status == "too few draws"
    laplace = bg.fit_laplace(rectangle(), 2, prior=RECTANGLE_PRIOR, num_samples=50, num_chains=2)
    found = bg.diagnose(laplace, search=False)
    assert "k-hat" in found.verdict()[0]
    assert found.status in ("sound", "not to be trusted")


def test_file_and_posterior_give_the_same_verdict(corners):
    """The tree holds permutations, divergences, energies and k-hat; only the search for modes needs the posterior."""
    diverging, energy = np.zeros((4, 500), bool), np.cumsum(np.ones((4, 500)), axis=1)
    diverging[1, :3] = True
    nuts = replace(corners, algorithm="nuts", sample_stats={"diverging": diverging, "energy": energy})
    one, two = bg.diagnose(nuts, search=False), bg.diagnose(nuts.datatree)
    assert one.verdict() == two.verdict()
    assert (two.name, two.num_divergences, two.num_switches) == ("nuts", 3, one.num_switches)
    assert two.smallest_bfmi == one.smallest_bfmi < 0.3
    assert one.num_switches > 0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        laplace = bg.fit_laplace(rectangle(), 2, prior=RECTANGLE_PRIOR, num_samples=50, num_chains=2)
    assert bg.diagnose(laplace.datatree).status == bg.diagnose(laplace, search=False).status
    assert bg.diagnose(laplace.datatree).pareto_k == laplace.pareto_k


def test_draws_of_which_only_parameters_are_known(rng):
    variables, _ = made(rng, 7.0, draws=200)
    found = bg.diagnose({"mu": variables["means"]}, names={"means": "mu"})
    assert found.occupied is None
    assert found.status == "sound"
    assert "point process" in found.relabelling.method


def test_plots(corners):
    import matplotlib.pyplot as plt

    figures = bg.diagnose(corners, search=False).plot()
    assert set(figures) == {"ranks", "labels"}
    plt.close("all")


def test_bad_input(rng):
    variables, x = made(rng, 7.0)
    with pytest.raises(DrawsError, match="single component"):
        bg.diagnose({name: v[:, :, :1] for name, v in variables.items()}, x=x)
    with pytest.raises(DrawsError, match="has no draws"):
        bg.diagnose(3)
    with pytest.raises((ArgumentError, DrawsError), match="seed"):
        bg.diagnose(variables, x=x, seed="no")


def test_command_line(corners, tmp_path, monkeypatch):
    from typer.testing import CliRunner

    from bayesgmm import cli

    path = tmp_path / "gibbs.nc"
    corners.datatree.to_netcdf(path, engine="h5netcdf")
    out = CliRunner().invoke(cli.app, ["diagnose", str(path), "--out", str(tmp_path / "out")])
    assert out.exit_code == 0, out.output
    assert out.output.startswith("stuck")
    assert "mixture_sd[x1]" in out.output
    assert {"ranks.png", "labels.png", "relabelled.nc"} <= {one.name for one in (tmp_path / "out").iterdir()}
    for arguments, words in (
        (["README.md"], "could not be read"),
        ([str(path), "--names", "weights"], "pairs such as"),
        ([str(path), "--component-dim", "k"], "^--component-dim: the draws have no dimension 'k'"),
    ):
        monkeypatch.setattr("sys.argv", ["bayesgmm", "diagnose", *arguments])
        with pytest.raises((ArgumentError, DrawsError), match=words):
            cli.app(standalone_mode=False)


def test_entropy_and_occupation_of_many_rows_use_a_sample_first(monkeypatch):
    """Occupation is that of all rows; the entropy is that of the sample."""
    rng = np.random.default_rng(0)
    x = np.concatenate([rng.normal(size=(290, 1)), rng.normal(size=(10, 1)) + 50.0])
    weights = np.tile([0.9, 0.1, 1e-12], (2, 8, 1))
    means = np.tile(np.array([[0.0], [50.0], [-500.0]]), (2, 8, 1, 1)) + 0.01 * rng.normal(size=(2, 8, 3, 1))
    draws = {"weights": weights, "means": means, "covariances": np.ones((2, 8, 3, 1, 1))}
    exact = bg.label_invariant_view(draws, x=x)
    monkeypatch.setattr(view_module, "MOST_ROWS", 20)
    found = bg.label_invariant_view(draws, x=x)
    np.testing.assert_array_equal(found["occupied"], exact["occupied"])
    assert (found["occupied"] == 2).all()
    assert found["allocation_entropy"].shape == exact["allocation_entropy"].shape
