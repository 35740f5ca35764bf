"""The engine in PyTorch: one step by autograd, run as it is or captured as a graph on a GPU."""
