# Bootstrap standard errors of mclust, as tests/oracles/truth/mclust_bootstrap.json holds them.
# Rscript benchmarks/mclust_bootstrap.R > tests/oracles/truth/mclust_bootstrap.json   (needs r-cran-mclust, r-cran-jsonlite)
suppressMessages({library(mclust); library(jsonlite)})
errors <- function(x, G, model, type, nboot = 5000) {
  fit <- Mclust(x, G = G, modelNames = model, verbose = FALSE)
  set.seed(1)
  seconds <- system.time(found <- MclustBootstrap(fit, nboot = nboot, type = type, verbose = FALSE))[["elapsed"]]
  se <- summary(found, what = "se")
  order <- order(fit$parameters$mean[1, ])
  list(model = model, type = type, nboot = nboot, seconds = seconds, loglik = fit$loglik,
       weights = unname(se$pro[order]), means = unname(t(se$mean)[order, ]),
       covariances = unname(aperm(se$variance, c(3, 1, 2))[order, , ]))
}
cat(toJSON(list(
  faithful_bs = errors(faithful, 2, "VVV", "bs"), faithful_pb = errors(faithful, 2, "VVV", "pb"),
  faithful_wlbs = errors(faithful, 2, "VVV", "wlbs"), iris_wlbs = errors(iris[, 1:4], 2, "VVV", "wlbs"),
  iris_bs = errors(iris[, 1:4], 2, "VVV", "bs"), iris_pb = errors(iris[, 1:4], 2, "VVV", "pb")
), digits = 8, auto_unbox = TRUE), "\n")
