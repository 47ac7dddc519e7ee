"""Every engine: a line each, in the order in which `compare` runs them.

An engine is imported when it is first used, so that NumPyro loads only where it is needed.
"""

from bayesgmm.engines.engine import register

register("em", "bayesgmm.engines.em.em:EM")
register("mle", "bayesgmm.engines.em.em:MLE")
register("cavi", "bayesgmm.engines.variational.cavi:CAVI")
register("svi", "bayesgmm.engines.variational.svi:SVI_ENGINE")
register("laplace", "bayesgmm.engines.variational.laplace:LAPLACE")
register("gibbs", "bayesgmm.engines.mcmc.gibbs:GIBBS")
register("nuts", "bayesgmm.engines.mcmc.nuts:NUTS")
