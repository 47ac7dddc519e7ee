"""The table of engines and its one step, the record of an engine, and the registry."""

from bayesgmm.engines import registry as registry
