"""All engines, one per line, in the order in which `compare` runs them.

An engine is imported at first use, so that NumPyro loads only when it is needed.
"""

from bayesgmm.engines.engine import register

register("em", "bayesgmm.engines.em.records:EM")
register("mle", "bayesgmm.engines.em.records:MLE")
register("cem", "bayesgmm.engines.em.records:CEM")
register("sem", "bayesgmm.engines.em.records:SEM")
register("mcem", "bayesgmm.engines.em.records:MCEM")
register("same", "bayesgmm.engines.em.records:SAME")
register("daem", "bayesgmm.engines.em.records:DAEM")
register("cavi", "bayesgmm.engines.variational.cavi:CAVI")
register("svi", "bayesgmm.engines.variational.svi:SVI_ENGINE")
register("laplace", "bayesgmm.engines.variational.laplace:LAPLACE")
register("exact", "bayesgmm.engines.exact:EXACT")
register("gibbs", "bayesgmm.engines.mcmc.gibbs:GIBBS")
register("nuts", "bayesgmm.engines.mcmc.nuts:NUTS")
register("telescoping", "bayesgmm.engines.telescoping.compared:TELESCOPING")
