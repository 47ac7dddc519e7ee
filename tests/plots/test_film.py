"""The film of walks: its files, its frames, and what it refuses."""

import numpy as np
import pytest
from matplotlib import pyplot as plt
from PIL import Image

import bayesgmm as bg
from bayesgmm.errors import ArgumentError
from bayesgmm.plots import film

X = np.random.default_rng(0).normal(size=(40, 2)) + np.repeat([[0.0, 0.0], [3.0, 3.0]], 20, axis=0)
START = bg.Params.of([0.5, 0.5], [[0.5, 0.0], [2.0, 2.5]], [np.eye(2), np.eye(2)])


@pytest.fixture(scope="module")
def walks():
    return {name: bg.walk(X, 2, engine=name, start=START, num_steps=n) for name, n in (("em", 12), ("gibbs", 8))}


def test_a_gif_has_a_frame_for_each_chosen_step(walks, tmp_path):
    path = bg.plots.animate(walks, tmp_path / "new" / "film.gif", frames=4, fps=10)
    with Image.open(path) as image:
        assert image.n_frames == 4
        assert image.info["duration"] == 100
    assert not plt.get_fignums()
    assert list(film._steps(walks, 4)) == [0, 4, 8, 12]
    assert list(film._steps(walks, 60)) == list(range(13))


def test_a_page_needs_nothing_from_the_internet(walks, tmp_path):
    page = bg.plots.animate(walks["em"], str(tmp_path / "film.html"), frames=2, features=["x1"]).read_text("utf-8")
    assert page.startswith("<!DOCTYPE html>")
    assert "▶" in page
    assert "fa-" not in page
    assert 'src="http' not in page
    assert "<link" not in page
    assert page.count("data:image/png;base64") == 2


def test_a_frame_shows_its_step(walks):
    """Paths, objectives and ellipses are those of the step; the shorter walk waits at its end."""
    shown = film._Film(walks, [0, 1], [(0, 0), (1, 1)])
    shown.show(10)
    em, gibbs = (walks[name] for name in ("em", "gibbs"))
    np.testing.assert_array_equal(shown.trails["em"].get_xdata(), em.params.means[:11, 0, 0])
    np.testing.assert_array_equal(shown.heads["gibbs"].get_ydata(), gibbs.params.means[8:, 1, 1])
    np.testing.assert_array_equal(shown.curves["gibbs"].get_ydata(), gibbs.objective)
    centers = [artist.center for artist in shown.moving if hasattr(artist, "center")]
    np.testing.assert_allclose(centers, [*em.params.means[10], *gibbs.params.means[8]])
    count = len(shown.data.get_children())
    shown.show(11)
    assert len(shown.data.get_children()) == count  # nothing is left of the last frame
    plt.close(shown.figure)


def test_the_temperature_is_shown():
    walk = bg.walk(X, 2, engine="daem", start=START, num_steps=8, beta_start=0.4)
    shown = film._Film({"daem": walk}, [0], [(0, 0), (1, 1)])
    shown.show(4)
    assert f"step 4, β = {walk.betas[3]:.2f}" in shown.figure.get_suptitle()
    density = shown.moving[0].get_ydata()
    assert np.trapezoid(density, shown.grid) == pytest.approx(1.0, abs=0.03)
    plt.close(shown.figure)


def test_what_cannot_be_filmed_is_refused(walks, tmp_path):
    with pytest.raises(ArgumentError, match=r"must end in \.gif or \.html"):
        bg.plots.animate(walks, tmp_path / "film.mp4")
    with pytest.raises(ArgumentError, match="frames must"):
        bg.plots.animate(walks, tmp_path / "film.gif", frames=1)
    with pytest.raises(ArgumentError, match="fps must"):
        bg.plots.animate(walks, tmp_path / "film.gif", fps=0)
    with pytest.raises(ArgumentError, match="two different means"):
        bg.plots.animate(walks, tmp_path / "film.gif", coordinates=[(0, 0), (0, 0)])
    three = bg.walk(X, 3, engine="em", num_steps=2)
    with pytest.raises(ArgumentError, match="equal numbers of components"):
        bg.plots.animate({**walks, "three": three}, tmp_path / "film.gif")
    (tmp_path / "file").write_text("x")
    with pytest.raises(ArgumentError, match="could not be written"):
        bg.plots.animate(walks, tmp_path / "file" / "film.gif", frames=2)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file"]
