"""The engines: the table of updates and its single step, the record of an engine, and the registry."""

from bayesgmm.engines import registry as registry
