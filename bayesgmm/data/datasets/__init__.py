"""Classic data sets included in the package, each with its source."""

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from bayesgmm.errors import ArgumentError
from bayesgmm.runtime.checks import check_flag, shown

if TYPE_CHECKING:
    import pandas as pd

_HERE = Path(__file__).parent


class Source(NamedTuple):
    """Description and source of a built-in data set."""

    file: str
    rows: int
    features: tuple[str, ...]
    label: str | None
    about: str
    source: str


SOURCES: dict[str, Source] = {
    "faithful": Source(
        "faithful.csv", 272, ("eruptions", "waiting"), None,
        "Old Faithful geyser: eruption length and waiting time, in minutes.",
        "Azzalini & Bowman (1990), Applied Statistics 39, 357-365.",
    ),
    "galaxies": Source(
        "galaxies.csv", 82, ("velocity",), None,
        "Velocities of galaxies in Corona Borealis, in km/s; the 78th value is 26960, as in the paper.",
        "Roeder (1990), JASA 85, 617-624; Postman, Huchra & Geller (1986).",
    ),
    "galaxies_MASS": Source(
        "galaxies_MASS.csv", 82, ("velocity",), None,
        "The same galaxies as in the R package MASS: the 78th value is mistyped as 26690. For comparisons only.",
        "Venables & Ripley, R package MASS.",
    ),
    "iris": Source(
        "iris.csv", 150, ("Sepal.Length", "Sepal.Width", "Petal.Length", "Petal.Width"), "Species",
        "Iris flowers: four lengths in cm; the species is kept as a label, not as a feature.",
        "Anderson (1935); Fisher (1936), Annals of Eugenics 7, 179-188.",
    ),
}  # fmt: skip


def load_dataset(name: str, *, labels: bool = False) -> "pd.DataFrame":
    """Load a built-in data set as a pandas DataFrame of its numeric features.

    Parameters
    ----------
    name
        One of ``bayesgmm.data.datasets.SOURCES``: ``"faithful"``, ``"galaxies"``, ``"galaxies_MASS"``, ``"iris"``.
    labels
        Append the column of known classes if there is one (``iris``: ``Species``).

    Raises
    ------
    ArgumentError
        If no data set has that name, or it has no labels.

    Examples
    --------
    >>> import bayesgmm as bg
    >>> bg.load_dataset("faithful").shape
    (272, 2)
    """
    if not isinstance(name, str) or name not in SOURCES:
        raise ArgumentError(f"There is no built-in data set {shown(name)}. Choose one of {', '.join(SOURCES)}.")
    labels = check_flag("labels", labels)
    import pandas as pd

    entry = SOURCES[name]
    if labels and entry.label is None:
        raise ArgumentError(f"The data set {name!r} has no known labels. Call load_dataset({name!r}) without them.")
    columns = [*entry.features, *([entry.label] if labels else [])]
    return pd.read_csv(_HERE / entry.file, usecols=columns)
