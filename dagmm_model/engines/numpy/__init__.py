"""The NumPy engine: forward and backward pass written out, without autograd."""
