"""Words about chains never contradict one another: verdicts, titles, states and tables of seeded posteriors."""

import re
from dataclasses import replace
from functools import cache
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from oracles.effort import EFFORT, SOME

import bayesgmm as bg
from bayesgmm.checking.calibration import Calibration
from bayesgmm.comparison.comparison import Comparison
from bayesgmm.diagnosis.missed_modes import MissedMode
from bayesgmm.numerics.mixing import MIXED, SHORT, UNKNOWN, UNMIXED, draws_to_add, figures, mixing_state
from bayesgmm.results.approximation import ApproximatePosterior
from bayesgmm.results.verdict import agreement_line, mixing_line, usable

CHAINS, DRAWS, K = 4, 200, 2
IN_HASTE = ("mixed", "short", "stuck", "switching", "too many", "few")
KINDS = ("mixed", "short", "slow", "stuck", "switching", "too many", "one chain", "few", "certain", "frozen")
X = np.random.default_rng(0).normal(size=(60, 2)) + 4.0 * np.repeat([0, 1], 30)[:, None]


@pytest.fixture(scope="module")
def sampled():
    """A posterior whose draws the tests replace; the settings are those of plain Gibbs."""
    return bg.sample_gibbs(X, K, num_warmup=20, num_samples=40, num_chains=2, progress_bar=False)


def walk(rng, shape, memory):
    """Stationary autoregressive paths (chain, draw, …) with sd 1."""
    noise, path = rng.normal(size=shape), np.empty(shape)
    path[:, 0] = noise[:, 0]
    for t in range(1, shape[1]):
        path[:, t] = memory * path[:, t - 1] + np.sqrt(1.0 - memory**2) * noise[:, t]
    return path


def synthetic(sampled, kind, seed):
    """A posterior of a kind, with draws near the two clusters of the data."""
    rng = np.random.default_rng([seed, *map(ord, kind)])
    chains, draws = 1 if kind == "one chain" else CHAINS, 3 if kind == "few" else DRAWS
    memory = {"short": 0.7, "slow": 0.99}.get(kind, 0.0) * rng.uniform(0.97, 1.0)
    means = np.array([[0.0, 0.0], [4.0, 4.0]]) + 0.2 * walk(rng, (chains, draws, K, 2), memory)
    if kind == "stuck":
        means[chains // 2 :, :, 1] += rng.uniform(2.0, 5.0)
    share = 0.5 + 0.05 * walk(rng, (chains, draws), memory).clip(-3, 3)
    if kind == "too many":
        share = np.abs(0.001 * rng.normal(size=(chains, draws))) + 1e-6
        means[:, :, 0] = 8.0 * rng.normal(size=(chains, draws, 2))
    weights = np.stack([share, 1.0 - share], axis=2)
    trils = np.broadcast_to(np.eye(2), (chains, draws, K, 2, 2)) * np.exp(
        0.1 * rng.normal(size=(chains, draws, 1, 1, 1))
    )
    if kind == "certain":
        trils = 1e-4 * trils  # every row belongs to one component in every draw: allocation_entropy is 0
    if kind == "frozen":
        means, weights, trils = (np.broadcast_to(part[:, :1], part.shape) for part in (means, weights, trils))
    permutations = np.broadcast_to(np.arange(K), (chains, draws, K)).astype(np.uint8)
    if kind == "switching":
        swapped = rng.random((chains, draws)) < 0.2
        permutations = np.where(swapped[:, :, None], permutations[:, :, ::-1], permutations)
    heights = -200.0 + walk(rng, (chains, draws), memory)
    if kind == "stuck":
        heights[chains // 2 :] -= 10.0
    if kind == "frozen":
        heights = np.broadcast_to(heights[:, :1], heights.shape)
    return replace(
        sampled, params=bg.Params(weights, means, trils), permutations=permutations, log_likelihood=heights,
        log_prior=np.zeros((chains, draws)), sample_stats={},
        settings=sampled.settings | {"tempering": int(rng.choice([1, 12]))},
    )  # fmt: skip


def phrase_of(state):
    return {
        MIXED: "have mixed", SHORT: "are slightly short", UNMIXED: "have not mixed", UNKNOWN: "mixing cannot be assessed",
    }[state]  # fmt: skip


def check_mixing_words(text, state, where):
    """The phrase of the state, and of no other."""
    for other in (MIXED, SHORT, UNMIXED, UNKNOWN):
        assert (phrase_of(other) in text.lower()) == (other == state), (where, state, text)


def check_advice(text, posterior):
    replicas = posterior.settings["tempering"]
    assert f"tempering={replicas}," not in text
    assert f"tempering={replicas} " not in text
    if posterior.continuation is None:
        assert "extend(" not in text


def check_posterior(posterior, kind):
    """Title, state, verdict of `compare`, diagnosis and tables of one posterior against one another."""
    state = posterior.mixing
    assert state == mixing_state(posterior.worst_rhat, posterior.smallest_ess, posterior.num_chains)
    title = repr(posterior).replace("\n", " ")
    assert (f"draws; {state}: worst R-hat" in title) == (state != UNKNOWN)
    assert ("mixing cannot be assessed" in title) == (state == UNKNOWN)
    assert "nan" not in title
    found = bg.diagnose(posterior, search=False)
    verdict = found.verdict()
    check_mixing_words(verdict[0], found.mixing, "diagnose")
    # The quantities of the posterior are among those of the diagnosis.
    assert not posterior.worst_rhat > found.worst_rhat
    assert not posterior.smallest_ess < found.smallest_ess
    if state != UNKNOWN:
        assert figures(found.worst_rhat, found.smallest_ess) in verdict[0]
        assert figures(posterior.worst_rhat, posterior.smallest_ess) in title
        assert f"{found.worst_rhat:.3f}" == f"{found.judged['r_hat'].max():.3f}"
        # A second pair of figures stands there only with the name of what it leaves out.
        assert (verdict[0].count("smallest ESS") == 2) == ("Without the entropy of the classes" in verdict[0])
    if found.mixed:
        assert state == MIXED
    assert found.status in {
        UNKNOWN: ("too few draws", "not assessed"), UNMIXED: ("stuck", "slow"), SHORT: ("slightly short",),
        MIXED: ("sound", "labels in doubt", "too many components"),
    }[found.mixing]  # fmt: skip
    text = " ".join(verdict)
    assert ("different modes" in text) == (found.status == "stuck") == found.stuck
    assert found.stuck <= (len(found.groups) > 1)
    assert not ("harmless" in text and "not distinguishable" in text and found.relabelling.share_in_doubt > 0.05)
    assert not ("can be read one by one" in text and ("not read them one" in text or not found.mixed))
    assert ("is too large for these data" in text) == bool(found.too_many)
    assert (found.status == "too many components") <= ("is too large" in text)
    assert ("Labels did not switch" in text) == (found.num_permutations == 1)
    check_advice(text, posterior)
    if kind == "one chain":
        assert found.status == "not assessed"
        assert "Draw more" not in verdict[0]
        assert "num_chains=4" in verdict[0]
    return found


def check_titles(posterior, found):
    """The titles of the plots say what the table says."""
    title = bg.plots.plot_traces({"gibbs": posterior})[0, 0].get_title(loc="left").replace("\n", " ")
    assert (f" {posterior.mixing} (" in title) == (posterior.mixing != UNKNOWN), title
    figure = found.plot_ranks()
    if figure is not None:
        title = figure.get_suptitle()
        assert (f": {found.mixing} (" in title) == (found.mixing != UNKNOWN), title
    plt.close("all")


def check_pair(first, second):
    """The verdict of a comparison: agreement is claimed only of chains that can show it."""
    comparison = Comparison(first.model, 0, {"gibbs": first, "nuts": second, "em": em_fit()})
    lines = comparison.verdict()
    for line, posterior in zip(lines, (first, second), strict=False):
        check_mixing_words(line, posterior.mixing, "compare")
        check_advice(line, posterior)
        if posterior.mixing != UNKNOWN:
            assert comparison.summary().loc["worst R-hat", line.split(":")[0]] == f"{posterior.worst_rhat:.3f}"
            assert figures(posterior.worst_rhat, posterior.smallest_ess) in line
    between = lines[2]
    claims = [word for word in ("agree on every", "disagree", "no comparison", "too few draws") if word in between]
    assert len(claims) == 1
    for line in lines[2:]:
        for name, posterior in (("gibbs", first), ("nuts", second)):
            assert (f"{name} has not mixed" in line) <= (posterior.mixing == UNMIXED)
            assert (f"mixing of {name} cannot" in line) <= (posterior.mixing == UNKNOWN)
    assert (claims[0] in ("agree on every", "disagree")) <= (usable(first) and usable(second))
    assert ("no comparison" in lines[3]) == (not (usable(first) or usable(second)))


@cache
def em_fit():
    return bg.fit_em(X, K, n_init=4, seed=0)


@pytest.mark.parametrize("kind", [k if k in IN_HASTE else pytest.param(k, marks=SOME) for k in KINDS])
def test_words_agree(sampled, kind):
    check_kind(sampled, kind, range(1))


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_words_agree_in_many_posteriors(sampled, kind):
    check_kind(sampled, kind, range(1, 1 + max(1, int(20 * EFFORT**1.5))))


def check_kind(sampled, kind, seeds):
    states = []
    for seed in seeds:
        posterior = synthetic(sampled, kind, seed)
        found = check_posterior(posterior, kind)
        states.append(found.status)
        if seed % 3 == 0:  # pictures take longer
            check_titles(posterior, found)
        check_pair(posterior, synthetic(sampled, KINDS[seed % len(KINDS)], seed + 1000))
    expected = {
        "mixed": {"sound"}, "stuck": {"stuck"}, "slow": {"slow", "stuck"}, "few": {"too few draws"},
        "too many": {"too many components"}, "switching": {"sound"},
        "certain": {"sound"}, "frozen": {"stuck"}, "one chain": {"not assessed"},
    }.get(kind, set(states))  # fmt: skip
    if kind in ("mixed", "switching", "certain", "too many"):
        # Of independent draws, the worst R-hat of thirteen quantities is above 1.01 in one set of ten, by chance.
        noise = states.count(SHORT)
        assert noise <= max(1, 0.3 * len(states))
        expected |= {SHORT}
    assert set(states) <= expected


def test_states_and_what_short_chains_lack():
    assert mixing_state(1.006, 373, 4) == SHORT  # ESS 400 is good
    assert mixing_state(1.006, 401, 4) == MIXED
    assert mixing_state(1.04, 4000, 4) == SHORT
    assert mixing_state(1.06, 4000, 4) == UNMIXED
    assert mixing_state(1.02, 39, 4) == UNMIXED
    assert mixing_state(float("nan"), 400, 4) == UNKNOWN
    assert draws_to_add(1.006, 373, 4, 1000) == 300
    assert draws_to_add(1.02, 166, 4, 1000) == 1900
    assert draws_to_add(1.04, 4000, 4, 1000) == 3800


def test_slightly_short_chains_are_told_how_many_draws(sampled):
    posterior = next(
        one for seed in range(50) if (one := synthetic(sampled, "short", seed)).mixing == SHORT and one.continuation
    )
    found = bg.diagnose(posterior, search=False)
    line = found.verdict()[0]
    assert re.findall(r"extend\((\d+)\)", line) == [
        str(draws_to_add(found.worst_rhat, found.smallest_ess, CHAINS, DRAWS))
    ]
    assert "different modes" not in line


def test_draws_of_an_approximation_have_no_mixing(sampled):
    posterior = synthetic(sampled, "mixed", 0)
    shared: dict[str, Any] = {name: getattr(posterior, name) for name in posterior.__dataclass_fields__} | {
        "continuation": None
    }
    draws = ApproximatePosterior(**shared, pareto_k=0.3)
    found = bg.diagnose(draws, search=False)
    title = bg.plots.plot_traces({"cavi": draws})[0, 0].get_title(loc="left")
    lines = Comparison(draws.model, 0, {"cavi": draws, "em": em_fit()}).verdict()
    for text in (title, " ".join(found.verdict()), " ".join(lines)):
        assert "mixed" not in text, text
        assert "R-hat" not in text, text
    assert "extend" not in " ".join(found.verdict())
    assert "ranks" not in found.plot()
    plt.close("all")


def test_one_component_has_no_modes_to_stay_in(sampled):
    posterior = synthetic(sampled, "stuck", 0)
    one = replace(
        posterior, params=bg.Params(np.ones((CHAINS, DRAWS, 1)), posterior.params.means[:, :, 1:],
        posterior.params.scale_trils[:, :, 1:]), permutations=np.zeros((CHAINS, DRAWS, 1), np.uint8),
    )  # fmt: skip
    line = mixing_line("gibbs", one)
    assert one.mixing == UNMIXED
    assert "have not mixed" in line
    assert "modes" not in line
    assert "fewer components" not in line
    assert "bg.diagnose" not in line + agreement_line("gibbs", one, "nuts", replace(one))


@pytest.mark.parametrize(
    ("settings", "wanted", "unwanted"),
    [
        ({}, "tempering=12", "tempering=24"), ({"tempering": 12}, "tempering=24", "tempering=12"),
        ({"init": "basins"}, "init=diagnosis.missed.fit", "init='basins'"), ({}, "init='basins'", "missed.fit"),
    ],
)  # fmt: skip
def test_what_to_do_about_a_missed_mode_was_not_done_before(sampled, settings, wanted, unwanted):
    posterior = synthetic(sampled, "mixed", 0)
    posterior = replace(posterior, settings=sampled.settings | {"tempering": 1, "init": "dispersed"} | settings)
    missed = MissedMode(em_fit(), 3.0, 1.0)
    found = replace(bg.diagnose(posterior, search=False), missed=missed, searched=True)
    text = " ".join(found.verdict())
    assert found.status == "missed mode"
    assert wanted in text
    assert unwanted not in text


def test_draws_of_other_software_cannot_be_extended(sampled):
    tree = synthetic(sampled, "slow", 0).datatree
    for kept in (tree, {name: tree["posterior"][name].values for name in ("weights", "means", "covariances")}):
        text = " ".join(bg.diagnose(kept, x=X).verdict())
        assert "have not mixed" in text
        assert "extend" not in text


@pytest.mark.parametrize(("count", "spread"), [(10, 1.0), (19, 0.1), (60, 1.0), (60, 0.1)])
def test_calibration_says_the_same_in_title_and_verdict(count, spread):
    rng = np.random.default_rng(count)
    pit = pd.DataFrame({name: 0.5 + spread * (rng.random(count) - 0.5) for name in ("a", "b")})
    found = Calibration("gibbs", pit, np.full(count, 50), (), False)
    title, verdict = found.plot().get_title(loc="left"), found.verdict()
    plt.close("all")
    assert title.endswith(f": {found.status}")
    assert ("not calibrated" in title) == ("not calibrated" in verdict) == (count >= 20 and spread < 1)
    assert ("too few simulations" in title) == ("too few simulations" in verdict) == (count < 20)
