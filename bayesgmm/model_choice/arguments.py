"""Checks of the arguments of `select`, before anything is computed."""

from math import ceil
from typing import Any

import numpy as np

from bayesgmm.checking.requirements import FEWEST_DRAWS
from bayesgmm.data.kinds import check_rows
from bayesgmm.data.order import same_features
from bayesgmm.data.table import Table, check_table
from bayesgmm.engines.checks import check_chain_arguments
from bayesgmm.engines.engine import Engine, find_engine, of_one_number
from bayesgmm.errors import ArgumentError, DataError, PriorError
from bayesgmm.model.families import CONJUGATE, FAMILIES
from bayesgmm.model_choice.criteria import CRITERIA, DRAWS, FITS
from bayesgmm.priors.prior import Belief
from bayesgmm.problem import prepare
from bayesgmm.runtime.arguments import as_list, check_count, check_number
from bayesgmm.runtime.checks import check_level, shown
from bayesgmm.runtime.dtypes import scope
from bayesgmm.selection.fit_table import check_prior, checked_table


def check_models(n_components: Any, families: Any, table: Table) -> tuple[list[int], list[str]]:
    """Numbers of components in ascending order, and names of families.

    Raises
    ------
    ArgumentError
        If there are none, a number is below 1 or stands twice, or a family is unknown.
    DataError
        If a number is beyond the distinct rows, or the data have a constant feature.
    """
    if not isinstance(n_components, (int, float, str, np.generic)) and n_components is not None:
        n_components = as_list("n_components", n_components)
        twice = sorted({one for one in n_components if _times(one, n_components) > 1}, key=str)
        if twice:
            raise ArgumentError(
                f"n_components has {', '.join(map(shown, twice[:8]))} more than once. Give each number once."
            )
    sizes, names = checked_table(n_components, "full" if families is None else families, "bic", table.dim)
    check_table(table, max(sizes))
    distinct = _distinct(table, max(sizes))
    if distinct < max(sizes):
        raise DataError(
            f"There are {distinct} distinct rows for {max(sizes)} components. Components beyond the distinct rows "
            f"collapse. Use n_components up to {distinct}."
        )
    return sizes, names


def _times(one: Any, among: list[Any]) -> int:
    return sum(type(one) is type(other) and one == other for other in among) if np.ndim(one) == 0 else 0


def _distinct(table: Table, wanted: int) -> int:
    """The number of distinct rows, or one that is no less than `wanted`."""
    values = np.nan_to_num(table.values[: 50 * wanted], nan=np.inf)
    found = len(np.unique(values, axis=0))
    if found >= wanted or len(values) == table.num_rows:
        return found
    return len(np.unique(np.nan_to_num(table.values, nan=np.inf), axis=0))


def check_criteria(criteria: Any, table: Table) -> list[str]:
    """Names of criteria, each once, all of which take these rows.

    Raises
    ------
    ArgumentError
        If there are none, one is unknown, or one does not take rows of this kind.
    """
    given = criteria.split(",") if isinstance(criteria, str) else as_list("criteria", criteria)
    names = [name.strip() if isinstance(name, str) else name for name in given]
    unknown = [name for name in names if not isinstance(name, str) or name not in CRITERIA]
    if unknown or not names:
        what = f"Unknown criterion {', '.join(map(shown, unknown))}." if unknown else "criteria is empty."
        raise ArgumentError(f"{what} Choose from {', '.join(CRITERIA)}.")
    for name in dict.fromkeys(names):
        criterion = CRITERIA[name]
        if criterion.plain and not table.plain:
            raise ArgumentError(
                f"criterion {name} draws complete rows that count once, unlike these data. Use {_others()}."
            )
        check_rows(f"criterion {name}", criterion.refuses, table, f"Use {_others()}.")
    return list(dict.fromkeys(names))


def _others() -> str:
    """Criteria that take every kind of row."""
    return ", ".join(name for name, one in CRITERIA.items() if not one.plain and not one.refuses)


def check_prior_of_fits(prior: Belief | str | None, criteria: list[str]) -> None:
    """Refuse a prior under which criteria of fits have no table of fits, and name criteria that take it.

    Raises
    ------
    PriorError
        If fits of several numbers of components have no modes in closed form given z.
    """
    fitted = [name for name in criteria if CRITERIA[name].needs == FITS]
    if not fitted:
        return
    try:
        check_prior(prior)
    except PriorError as error:
        drawn = ", ".join(name for name, one in CRITERIA.items() if one.needs == DRAWS)
        raise PriorError(
            f"criterion {fitted[0]} compares modes of all models, and this prior gives none in closed form given z, or "
            f"no finite one. Use only criteria of draws ({drawn}), or a Prior with Dirichlet weights of concentration "
            "at least 1 and NormalInverseWishart components."
        ) from error


def check_engine(
    engine: Any, criteria: list[str], families: list[str], table: Table, widest: int, prior: Belief | str | None,
    chains: tuple[Any, Any, Any],
) -> Engine:  # fmt: skip
    """The record of the engine, if it can give what the criteria need.

    Raises
    ------
    ArgumentError, PriorError, DataError
        If it makes no draws, or too few, or does not take a family, the prior or the data; with engines that do.
    """
    found = find_engine(engine)
    check_chain_arguments(*chains, "default")
    drawn = [name for name in criteria if CRITERIA[name].needs == DRAWS]
    if "posterior_of_k" in criteria:
        _check_conjugate(families)
    if not drawn:
        return found
    if found.draws_number:
        raise ArgumentError(
            f"criterion {drawn[0]} needs draws with each number of components, and {found.name} draws that number too. "
            f"{_able(families)} criteria='posterior_of_k' is by {found.name}."
        )
    used = "default" if prior is None else prior
    lacking = [name for name in families if found.families is not None and name not in found.families]
    if not found.draws or lacking:
        why = f"does not take {', '.join(lacking)}" if found.draws else "makes none"
        of_fits = ", ".join(name for name, one in CRITERIA.items() if one.needs != DRAWS)
        raise ArgumentError(
            f"criterion {drawn[0]} needs draws, and the engine {found.name} {why}. {_able(families)} "
            f"For all families use only criteria of fits ({of_fits})."
        )
    exact = [name for name in drawn if CRITERIA[name].exact]
    if exact and not (found.exact or found.has_warmup):
        raise ArgumentError(
            f"criterion {exact[0]} needs draws of the posterior, and {found.name} approximates it. Use engine='gibbs' "
            "or engine='nuts'."
        )
    if chains[1] * chains[2] < FEWEST_DRAWS:
        raise ArgumentError(
            f"num_samples={chains[1]} and num_chains={chains[2]} are {chains[1] * chains[2]} draws, too few for "
            f"criterion {drawn[0]}. It needs at least {FEWEST_DRAWS}."
        )
    for name in families:
        found.check(used, FAMILIES[name], table.dim)
        with scope("float64"):
            problem = prepare(table, widest, used, "float64", name)
        found.check_problem(problem)
    return found


def _check_conjugate(families: list[str]) -> None:
    if lacking := [name for name in families if name not in CONJUGATE]:
        raise ArgumentError(
            f"criterion posterior_of_k does not take {', '.join(lacking)}: their covariances cannot be drawn. "
            f"Use {', '.join(CONJUGATE)}."
        )


def _able(families: list[str]) -> str:
    """Which engines draw from the posterior of all these families; if none does, which families one of them takes."""
    records = [one for one in of_one_number() if one.draws]
    able = [one.name for one in records if one.families is None or set(families) <= set(one.families)]
    if able:
        return f"Use {' or '.join(f'engine={name!r}' for name in able)}."
    return f"No engine draws from all of these; {records[0].name} takes {', '.join(records[0].families or ())}."


def check_bootstrap(num_bootstrap: Any, level: Any, criteria: list[str], sizes: list[int]) -> tuple[int, float]:
    """The number of data sets and the level of each test.

    Raises
    ------
    ArgumentError
        If no p-value of so few data sets reaches the level, or the numbers of components are not consecutive.
    """
    level = check_level("level", level)
    num = check_count("num_bootstrap", num_bootstrap, most=10**6)
    if "lrt" not in criteria:
        return num, level
    least = ceil(1.0 / level - 1e-9) - 1
    if num < least:
        raise ArgumentError(
            f"num_bootstrap={num} is too small for level={level:g}: the smallest p-value is 1/{num + 1}, so that no "
            f"test can reject. Use at least num_bootstrap={least}; {20 * (least + 1) - 1} for a p-value that is stable."
        )
    if len(sizes) < 2 or sizes[-1] - sizes[0] != len(sizes) - 1:
        raise ArgumentError(
            f"criterion lrt tests K against K + 1, so n_components must be consecutive, such as range(1, 6); got "
            f"{', '.join(map(str, sizes))}."
        )
    return num, level


def check_rows_left(folds: Any, held_out: Any, criteria: list[str], table: Table, widest: int) -> tuple[int, Any]:
    """The number of folds, and the share or the rows that are held out.

    Raises
    ------
    ArgumentError, DataError
        If too few rows are left to fit, or the rows have other features.
    """
    folds = check_count("folds", folds, least=2)
    least = max(table.dim + 1, widest)
    if "kfold" in criteria and (folds > table.num_rows or table.num_rows - -(-table.num_rows // folds) < least):
        raise ArgumentError(
            f"folds={folds} of {table.num_rows} rows leave too few to fit {widest} components in {table.dim} "
            f"dimensions. Use between 2 and {table.num_rows} folds; more folds leave more rows."
        )
    if not isinstance(held_out, (int, float, np.integer, np.floating)):
        if isinstance(held_out, str) or held_out is None:
            raise ArgumentError(f"held_out must be a share between 0 and 1, or rows, got {shown(held_out)}.")
        return folds, same_features(held_out, table)
    share = check_number("held_out", held_out, 0.0, 1.0, open_low=True, open_high=True)
    if "held_out" in criteria and table.num_rows - max(1, round(share * table.num_rows)) < least:
        raise ArgumentError(
            f"held_out={share:g} of {table.num_rows} rows leaves too few to fit {widest} components in {table.dim} "
            "dimensions. Hold out fewer."
        )
    return folds, share
