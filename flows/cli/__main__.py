"""`python -m flows.cli`, for torchrun and wherever the script `dagmm` is not on the path."""

from flows.cli import main

main()
