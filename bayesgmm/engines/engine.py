"""The record of an engine, and the table of all engines by name.

To add an engine, write one file with the function that users call and its `Engine`. Then add one line to
`bayesgmm.engines.registry`. See ``docs/adding-an-engine.md``.
"""

import importlib
import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from bayesgmm.errors import ArgumentError, PriorError
from bayesgmm.priors.conjugacy import Conjugacy
from bayesgmm.runtime.checks import as_list, shown

if TYPE_CHECKING:
    from bayesgmm.model.families import Family
    from bayesgmm.priors.prior import Belief
    from bayesgmm.problem import Problem

CHAIN_SETTINGS = ("num_warmup", "num_samples", "num_chains")
DRAW_SETTINGS = ("num_samples", "num_chains")


@dataclass(frozen=True)
class Engine:
    """One way to fit a mixture, as used by `compare`, `calibrate`, the refits and the command line."""

    name: str
    title: str
    """A short description."""
    run: Callable[..., Any]
    """``run(x, n_components, *, prior, covariance_type, seed, …)`` returns a `MixtureFit` or a `Posterior`.

    x is anything that `prepare` accepts. ``run`` also takes ``reference``, ``progress_bar`` and its ``settings``.
    """
    settings: tuple[str, ...]
    """Arguments of `compare` that it takes, besides those common to all engines."""
    draws: bool = True
    """Whether it returns draws. If so, it needs a proper prior."""
    needs: Conjugacy = Conjugacy.NONE
    """What it needs in closed form about θ given z."""
    families: tuple[str, ...] | None = None
    """Covariance families that it takes, as mclust codes; None for all."""
    uses_prior: bool = True
    flat_title: str | None = None
    """Its title without a prior, if different."""
    passes_to: Callable[..., Any] | None = None
    """The function to which ``run`` passes its other keyword arguments."""
    exact: bool = False
    """Whether its draws are independent and come from the posterior itself."""
    check_size: "Callable[[Problem], Any] | None" = None
    """Refuses a problem that is too large for it with an `ArgumentError`; `compare` asks before any engine runs."""
    proper: bool = False
    """Whether it needs a proper prior although it returns no draws."""
    refuses: tuple[str, ...] = ()
    """Kinds of rows that it does not take (`bayesgmm.data.kinds`)."""
    from_disk: bool = False
    """Whether it takes rows on disk: all that it asks of them is a pass (`bayesgmm.sweep.passed`) in each iteration."""
    in_batches: bool = False
    """Whether it takes rows on disk only if it is asked to read them in batches."""
    sampler: "Callable[[Mapping[str, Any], int], Any] | None" = None
    """Its `bayesgmm.engines.mcmc.sampler.Sampler`, from the settings of a posterior and its warm-up, so that saved
    chains can go on; None if it has no chains, or they cannot be saved."""
    whole: Callable[..., Any] | None = None
    """Of an engine that draws the number of components too: the function that returns all its draws; ``run`` returns
    those with n_components clusters. Such an engine answers another question: it is not advised in place of others."""
    caveat: str = ""
    """What a reader must know of its estimates, in a sentence."""

    @property
    def refused(self) -> tuple[str, ...]:
        """``refuses``, with rows on disk unless it takes them."""
        from bayesgmm.data.kinds import ON_DISK

        return self.refuses if self.from_disk else (*self.refuses, ON_DISK)

    def describe(self, prior: "Belief | None") -> str:
        """Its title under this prior."""
        return self.title if prior is not None or self.flat_title is None else self.flat_title

    def select(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """Those of the arguments that are in its ``settings``."""
        return {name: value for name, value in arguments.items() if name in self.settings}

    @property
    def draws_number(self) -> bool:
        """Whether the number of components is drawn too."""
        return self.whole is not None

    @property
    def has_warmup(self) -> bool:
        """Whether its draws come from Markov chains."""
        return "num_warmup" in self.settings

    @cached_property
    def arguments(self) -> frozenset[str]:
        """Names of the arguments of ``run``."""
        functions = [self.run] if self.passes_to is None else [self.run, self.passes_to]
        found = [part for function in functions for part in inspect.signature(function).parameters.values()]
        return frozenset(part.name for part in found if part.kind is not part.VAR_KEYWORD)

    def check(self, prior: "Belief | str | None", family: "Family", dim: int) -> None:
        """Refuse a covariance family or a prior that the engine does not take, and list alternatives.

        Raises
        ------
        ArgumentError
            If the engine does not take the covariance family.
        PriorError
            If the engine does not take the prior.
        """
        if self.families is not None and family.name not in self.families:
            raise ArgumentError(
                f"{self.name} does not take covariance_type {family.label(dim)!r}, because the prior of such "
                f"covariances is not conjugate. Use full, tied, diag or spherical ({', '.join(self.families)}), "
                "or fit_em."
            )
        if self.proper and prior is None:
            raise PriorError(
                f"{self.name} draws θ, so it needs a proper prior: without one the posterior is improper. Use "
                "prior='default' or a bayesgmm.Prior."
            )
        if self.uses_prior:
            check_conjugacy(self.name, self.needs, prior)

    def check_problem(self, problem: "Problem") -> None:
        """Refuse a problem that is too large for the engine, or whose rows are of a kind that it does not take.

        Raises
        ------
        ArgumentError
            If it is.
        """
        if not problem.table.plain:
            from bayesgmm.data.kinds import check_rows, kinds_of

            kinds = kinds_of(problem.table)
            taking = [one.name for one in of_one_number() if not set(kinds) & set(one.refused)]
            taking = [name for name in taking if find_engine(name).draws == self.draws]
            if problem.table.on_disk:  # no other place of rows has batches
                taking = [name for name in taking if not find_engine(name).in_batches]
            check_rows(self.name, self.refused, problem.table, f"{', '.join(taking)} do.")
        if self.check_size is not None:
            self.check_size(problem)


_LOCATIONS: dict[str, str | Engine] = {}


def register(name: str, engine: str | Engine) -> None:
    """Add an engine, as ``"module:attribute"`` (imported at first use) or as the record itself."""
    _LOCATIONS[name] = engine


def unregister(name: str) -> None:
    """Remove an engine."""
    del _LOCATIONS[name]


def engine_names() -> list[str]:
    """Names of all engines, in the order in which `compare` runs them."""
    return list(_LOCATIONS)


def of_one_number() -> list[Engine]:
    """The records of the engines whose number of components is given, in the same order."""
    return [engine for engine in map(find_engine, engine_names()) if not engine.draws_number]


def find_engine(name: str) -> Engine:
    """The record of an engine.

    Raises
    ------
    ArgumentError
        If there is no engine of that name.
    """
    found = _LOCATIONS.get(name) if isinstance(name, str) else None
    if found is None:
        raise ArgumentError(f"Unknown engine {shown(name)}. Choose from {', '.join(engine_names())}.")
    if isinstance(found, str):
        module, _, attribute = found.partition(":")
        found = _LOCATIONS[name] = getattr(importlib.import_module(module), attribute)
    return found


def find_engines(names: str | Sequence[str]) -> list[Engine]:
    """The records of several engines, without repeats, in the given order.

    Raises
    ------
    ArgumentError
        If a name is unknown, or no name is given.
    """
    wanted = [names] if isinstance(names, str) else as_list("engines", names)
    unknown = [name for name in wanted if not isinstance(name, str) or name not in _LOCATIONS]
    if unknown or not wanted:
        problem = f"Unknown engine {', '.join(map(shown, unknown))}." if unknown else "No engine was named."
        raise ArgumentError(f"{problem} Choose from {', '.join(engine_names())}.")
    return [find_engine(name) for name in dict.fromkeys(wanted)]


def check_conjugacy(name: str, needs: Conjugacy, prior: "Belief | str | None") -> None:
    """Refuse a prior with less in closed form than the engine needs, and list the engines that take it.

    Raises
    ------
    PriorError
        If the prior has less in closed form than the engine needs.
    """
    components = getattr(prior, "components", None)
    conjugacy = getattr(components, "conjugacy", None)
    if conjugacy is None or conjugacy >= needs:
        return
    taking = [engine.name for engine in of_one_number() if engine.uses_prior and engine.needs <= conjugacy]
    raise PriorError(
        f"{name} does not take a {type(components).__name__} prior, because it is not conjugate as required; "
        f"{', '.join(taking)} do. Use one of these engines, or a NormalInverseWishart prior."
    )
