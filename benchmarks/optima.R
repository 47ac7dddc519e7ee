# Optima of mclust on the data of benchmarks/optima.py: Rscript benchmarks/optima.R FOLDER   (needs r-cran-mclust)
suppressMessages(library(mclust))
folder <- commandArgs(trailingOnly = TRUE)[1]
out <- file(file.path(folder, "mclust.csv"), "w")
cat("data,model,K,loglik\n", file = out)
for (name in c("ring", "few", "close", "notes", "heavy", "three")) {
  x <- as.matrix(read.csv(file.path(folder, paste0(name, ".csv")), header = FALSE))
  for (model in mclust.options("emModelNames")) for (K in c(2, 3, 4)) {
    control <- emControl(tol = c(1e-9, 1e-9), itmax = c(5000, 500))
    fit <- try(Mclust(x, G = K, modelNames = model, verbose = FALSE, control = control), silent = TRUE)
    if (!inherits(fit, "try-error") && !is.null(fit) && is.finite(fit$loglik))
      cat(sprintf("%s,%s,%d,%.8f\n", name, model, K, fit$loglik), file = out)
  }
}
close(out)
