"""Parts of results that are more than their fields: the data, the model, chains and seeds."""

import warnings
from contextlib import suppress
from dataclasses import replace
from typing import Any

import numpy as np

from bayesgmm.data.left_out import RowsLeftOut, Totals, totals_of
from bayesgmm.data.table import Table
from bayesgmm.engines.engine import engine_names, find_engine
from bayesgmm.engines.mcmc.sampler import Chains
from bayesgmm.errors import ArgumentError, LoadError, SaveWarning
from bayesgmm.model.families import FAMILIES
from bayesgmm.priors.prior import within_family
from bayesgmm.problem import Model
from bayesgmm.results.kept_settings import NoChains
from bayesgmm.results.posterior import Posterior
from bayesgmm.results.telescoping_posterior import TelescopingPosterior
from bayesgmm.runtime.dtypes import scope

ROWS = ("values", "weights", "labels", "errors")
"""What a table says of each row."""
CACHED = ("invariants", "interchangeable")
"""What is kept of a model and of draws whose rows are left out, since it is made from rows."""


def write_table(writer: Any, table: Table, place: str) -> dict[str, Any]:
    """The record of a table, with its rows or with their totals."""
    rows = writer.rows and table.has_rows
    noise = table.noise if rows or table.noise is None else replace(table.noise, guess=None)
    found = {"features": list(table.features), "named": bool(table.named), "noise": noise}
    found |= {name: getattr(table, name) for name in ROWS} if rows else {"totals": totals_of(table)._asdict()}
    return {"!": "Table"} | {name: writer.record(value, f"{place}/{name}") for name, value in found.items()}


def read_table(reader: Any, fields: dict[str, Any]) -> Table:
    """The table of a record; with the rows that the user gives, if they were left out."""
    fields["features"] = tuple(fields["features"])
    totals = fields.pop("totals", None)
    if totals is None:
        fields["values"].flags.writeable = False
        return reader.known_table(Table(**fields))
    return reader.with_rows(RowsLeftOut(**fields, totals=Totals(**totals)))


def write_model(writer: Any, model: Model, place: str) -> dict[str, Any]:
    """The record of a model: the prior as given. What it is within the family is made again."""
    found = {"covariance_type": model.family.name, "num_components": model.num_components}
    parts = {name: getattr(model, name) for name in ("prior", "prior_constant", "fixed", "frame", "table")}
    record = {"!": "Model"} | {name: writer.record(value, f"{place}/{name}") for name, value in (found | parts).items()}
    return record | _kept(writer, model.table, {"interchangeable": lambda: model.interchangeable}, place)


def read_model(reader: Any, fields: dict[str, Any]) -> Model:
    """The model of a record."""
    family, cached = FAMILIES[fields.pop("covariance_type")], fields.pop("cached", {})
    table, num = fields["table"], fields["num_components"]
    with scope("float64"):
        own, _ = within_family(
            fields["prior"], family, num - (table.noise is not None), table.dim, fields["fixed"], table.noise
        )
    return _with_cached(Model(**fields, family=family, family_prior=own), table, cached)


def write_posterior(writer: Any, posterior: Posterior, place: str) -> dict[str, Any]:
    """The record of draws with the state of their chains."""
    record = writer.fields(posterior, place, leave_out=("continuation",))
    chains = posterior.continuation
    if chains is not None:
        record["chains"] = _write_chains(writer, chains, posterior.algorithm, f"{place}/chains")
    return record | _kept(writer, posterior.table, {"invariants": lambda: posterior.invariants}, place)


def write_telescoping(writer: Any, found: TelescopingPosterior, place: str) -> dict[str, Any]:
    """The record of draws with an unknown number of components; their chains are a part like others."""
    return writer.fields(found, place) | _kept(writer, found.table, {"invariants": lambda: found.invariants}, place)


def read_telescoping(fields: dict[str, Any]) -> TelescopingPosterior:
    """The draws of a record."""
    cached = fields.pop("cached", {})
    found = TelescopingPosterior(**fields)
    return _with_cached(found, found.table, cached)


def _write_chains(writer: Any, chains: Any, algorithm: str, place: str) -> dict[str, Any]:
    """The state of the chains, or why it is not kept."""
    if isinstance(chains, NoChains):
        return {"why": chains.why}
    if isinstance(chains, Chains) and _saved_engine(chains.sampler.name) is not None:
        with suppress(ArgumentError):  # the states of other engines are not in the table of classes
            return {"engine": chains.sampler.name, "state": writer.record(chains.state, place)}
    why = f"the state of a chain of {algorithm} cannot be saved."
    warnings.warn(
        f"The draws are saved, but {why} What is loaded cannot be extended: extend this posterior first.",
        SaveWarning, stacklevel=2,
    )  # fmt: skip
    return {"why": why}


def read_posterior(cls: Any, fields: dict[str, Any]) -> Posterior:
    """The draws of a record."""
    chains, cached = fields.pop("chains", None), fields.pop("cached", {})
    posterior = cls(**fields, continuation=None if chains is None else _chains(chains, fields))
    return _with_cached(posterior, posterior.table, cached)


def _chains(chains: dict[str, Any], fields: dict[str, Any]) -> Any:
    """Chains that can go on, or what says why they cannot."""
    if "why" in chains:
        return NoChains(chains["why"])
    engine = _saved_engine(chains["engine"])
    if engine is None:
        return NoChains(f"the engine {chains['engine']} is not registered here.")
    assert engine.sampler is not None
    return Chains(engine.sampler(fields["settings"], fields["num_warmup"]), chains["state"])


def _saved_engine(name: str) -> Any:
    """The engine whose chains can go on, if there is one of this name."""
    found = find_engine(name) if name in engine_names() else None
    return None if found is None or found.sampler is None else found


def write_seed(writer: Any, seed: np.random.SeedSequence, place: str) -> dict[str, Any]:
    """The record of a seed of NumPy."""
    names = "entropy", "spawn_key", "pool_size", "n_children_spawned"
    return {"!": "SeedSequence"} | {name: writer.record(getattr(seed, name), f"{place}/{name}") for name in names}


def read_seed(fields: dict[str, Any]) -> np.random.SeedSequence:
    """The seed of a record."""
    numbers = fields["entropy"] if isinstance(fields["entropy"], list | tuple) else [fields["entropy"]]
    if not all(type(one) is int for one in (*numbers, *fields["spawn_key"])):
        raise LoadError("A seed of the manifest is no number.")
    return np.random.SeedSequence(**fields)


def _kept(writer: Any, table: Table, made: dict[str, Any], place: str) -> dict[str, Any]:
    """What is made from rows, if these are left out."""
    if writer.rows and table.has_rows:
        return {}
    return {"cached": {name: writer.record(make(), f"{place}/{name}") for name, make in made.items()}}


def _with_cached(value: Any, table: Table, cached: dict[str, Any]) -> Any:
    """The object with what was kept of it, unless the rows are there to make it again."""
    if not table.has_rows:
        value.__dict__.update({name: part for name, part in cached.items() if name in CACHED})
    return value
