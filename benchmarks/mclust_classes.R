# Discriminant analysis (EDDA) and one mixture per class by mclust, as tests/oracles/truth/mclust_classes.json holds them.
# Rscript benchmarks/mclust_classes.R > tests/oracles/truth/mclust_classes.json   (needs r-cran-mclust, r-cran-jsonlite)
suppressMessages({library(mclust); library(jsonlite)})
control <- emControl(tol = c(1e-10, 1e-10), itmax = c(10000, 10000))
data(diabetes)
sets <- list(iris = list(x = as.matrix(iris[, 1:4]), class = as.character(iris$Species)),
             diabetes = list(x = as.matrix(diabetes[, 2:4]), class = as.character(diabetes$class)))
out <- list()
for (name in names(sets)) {
  x <- sets[[name]]$x; class <- factor(sets[[name]]$class); z <- unmap(as.numeric(class))
  edda <- list()
  for (model in mclust.options("emModelNames")) {
    m <- mstep(x, modelName = model, z = z, control = control, warn = FALSE)
    e <- try(do.call("estep", c(m, list(data = x, warn = FALSE))), silent = TRUE)
    if (inherits(e, "try-error") || is.na(e$loglik)) next
    dens <- do.call("cdens", c(m, list(data = x, logarithm = TRUE)))
    joint <- sum(dens[cbind(seq_len(nrow(x)), as.numeric(class))] + log(m$parameters$pro[as.numeric(class)]))
    fit <- MclustDA(x, class, modelNames = model, modelType = "EDDA", control = control, verbose = FALSE)
    edda[[model]] <- list(loglik = fit$loglik, bic = fit$bic, df = fit$df, joint = joint, parameters = nMclustParams(model, ncol(x), nlevels(class)))
  }
  da <- list()
  for (case in list(list("EEE", 2), list("VVV", 1), list("VVI", 2), list("VII", 3))) {
    fit <- MclustDA(x, class, G = case[[2]], modelNames = case[[1]], modelType = "MclustDA", control = control, verbose = FALSE)
    da[[length(da) + 1]] <- list(model = case[[1]], G = case[[2]], loglik = fit$loglik, bic = fit$bic, df = fit$df,
      classes = lapply(fit$models, function(m) list(loglik = m$loglik)), prop = as.list(fit$prop))
  }
  out[[name]] <- list(levels = levels(class), edda = edda, mixtures = da)
}
cat(toJSON(list(how = paste("R mclust", packageVersion("mclust"), "by benchmarks/mclust_classes.R; joint is the log-likelihood of rows and classes together"), data = out), digits = 12, auto_unbox = TRUE, pretty = TRUE))
