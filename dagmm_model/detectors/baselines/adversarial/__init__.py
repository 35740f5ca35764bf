"""The GAN family, one module a paper."""
