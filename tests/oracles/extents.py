"""Where the words of a figure stand."""

from itertools import combinations

from matplotlib.legend import Legend


def boxes(figure) -> dict[str, object]:
    """Places of titles, labels of axes and legends, in pixels, by their words."""
    figure.canvas.draw()
    found = {}
    if figure._suptitle is not None and figure._suptitle.get_text():
        found["figure"] = figure._suptitle.get_window_extent()
    for i, ax in enumerate(figure.axes):
        if not ax.get_visible():
            continue
        for what, text in (("title", ax._left_title), ("x", ax.xaxis.label), ("y", ax.yaxis.label)):
            if text.get_text() and text.get_visible():
                found[f"{what} {i}: {text.get_text()}"] = text.get_window_extent()
    legends = [one for owner in (figure, *figure.axes) for one in owner.findobj(Legend, include_self=False)]
    return found | {f"legend {id(one)}": one.get_window_extent() for one in legends}


def assert_readable(figure, slack: float = 2.0) -> None:
    """Titles, labels and legends lie inside the figure and do not overlap one another."""
    found, (width, height) = boxes(figure), figure.canvas.get_width_height()
    for words, box in found.items():
        inside = box.x0 >= -slack and box.y0 >= -slack and box.x1 <= width + slack and box.y1 <= height + slack
        assert inside, (words, box, width, height)
    for (one, box), (other, second) in combinations(found.items(), 2):
        apart = (
            box.x1 <= second.x0 + slack or second.x1 <= box.x0 + slack or box.y1 <= second.y0 + slack
            or second.y1 <= box.y0 + slack
        )  # fmt: skip
        assert apart, (one, other, box, second)
