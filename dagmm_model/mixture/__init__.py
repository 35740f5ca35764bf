"""The Gaussian mixture: energy, moments, expectation-maximisation, number of components."""
