# plots
install.packages("ggplot2")
install.packages(c("dplyr",
                   "data.table"), repos = "https://cran.r-project.org")
library(ggplot2)
devtools::install_github("tidyverse/readr")
