# Mixtures with a noise component by mclust, as tests/oracles/truth/mclust_noise.json holds them.
# Rscript benchmarks/mclust_noise.R > tests/oracles/truth/mclust_noise.json   (needs r-cran-mclust, r-cran-jsonlite)
suppressPackageStartupMessages({library(mclust); library(jsonlite)})

set.seed(19)
uniform <- function(x, n, reach) {
  x <- as.matrix(x)
  round(apply(x, 2, function(column) {
    ends <- range(column) + c(-1, 1) * reach * diff(range(column))
    runif(n, ends[1], ends[2])
  }), 4)
}
base <- list(
  faithful = as.matrix(faithful),
  diabetes = as.matrix(read.csv("tests/oracles/truth/diabetes.csv")[, c("glucose", "insulin", "sspg")])
)
sizes <- list(faithful = 2, diabetes = 3)
models <- list(faithful = c("VVV", "EEE", "VEI", "EEV"), diabetes = c("VVV", "VVI", "EEE", "VEV"))

out <- list()
for (name in names(base)) {
  added <- uniform(base[[name]], 30, 0.3)
  x <- unname(rbind(base[[name]], added))
  guess <- nrow(base[[name]]) + seq_len(nrow(added))
  fits <- list()
  for (model in models[[name]]) {
    fit <- Mclust(x, G = sizes[[name]], modelNames = model, initialization = list(noise = guess), verbose = FALSE,
                  control = emControl(tol = c(1e-14, 1e-14), itmax = c(20000, 2000)))
    p <- fit$parameters
    fits[[model]] <- list(loglik = fit$loglik, df = fit$df, pro = p$pro, mean = t(p$mean),
                          variance = aperm(p$variance$sigma, c(3, 1, 2)), Vinv = p$Vinv, bic = fit$bic,
                          noise_rows = sum(fit$classification == 0))
  }
  # All cells of a table: BIC and ICL with the signs of bayesgmm; NA where mclust has no fit.
  table <- function(f) {
    found <- f(x, G = 1:3, modelNames = models[[name]], initialization = list(noise = guess), verbose = FALSE,
               control = emControl(tol = c(1e-14, 1e-14), itmax = c(20000, 2000)))
    lapply(as.data.frame(-unclass(found)[1:3, ]), function(column) column)
  }
  out[[name]] <- list(x = x, first_noise = nrow(base[[name]]), G = sizes[[name]],
                      hypvol = mclust:::hypvol(x), fits = fits,
                      bic = table(mclustBIC), icl = table(mclustICL))
}
cat(toJSON(list(how = paste("R mclust", packageVersion("mclust"), "by benchmarks/mclust_noise.R"), data = out),
           digits = 14, auto_unbox = TRUE, na = "null"))
