"""DAGMM from the paper's equations, one row and one component at a time, float64, slow.

Nothing is shared with the product but the layout of the parameters.
"""

import math

import numpy as np


def dense(parameters, network, x):
    depth = sum(n.startswith(network + ".") and n.endswith("weight") for n in parameters)
    for i in range(depth):
        x = parameters[f"{network}.{i}.weight"] @ x + parameters[f"{network}.{i}.bias"]
        if i < depth - 1:
            x = np.array([math.tanh(v) for v in x])
    return x


def latent_row(parameters, x, kind):
    """z = [z_c, z_r], x_hat; equations 1 to 3."""
    code = dense(parameters, "encoder", x)
    x_hat = dense(parameters, "decoder", code)
    square = sum((a - b) ** 2 for a, b in zip(x, x_hat, strict=True))
    error = math.sqrt(square)
    error = max(error, 1e-6)  # the floor decided for a perfect reconstruction
    norm = math.sqrt(sum(a * a for a in x)) or 1.0
    norm_hat = math.sqrt(sum(b * b for b in x_hat)) or 1e-6
    features = {
        "relative": error / norm,
        "cosine": sum(a * b for a, b in zip(x, x_hat, strict=True)) / (norm * norm_hat),
        "log_error": math.log(square + 1e-3 * len(x)),
    }
    names = {
        "paper": ("relative", "cosine"),
        "log_error": ("log_error",),
        "log_error_cosine": ("log_error", "cosine"),
    }[kind]
    return np.array([*code, *(features[name] for name in names)]), x_hat


def softmax(logits):
    powers = [math.exp(v - max(logits)) for v in logits]
    return np.array([p / sum(powers) for p in powers])


def mixture_of(z, gamma, weight):
    """phi, mu, sigma; equation 5, rows weighted."""
    n, components = gamma.shape
    width = z.shape[1]
    phi, mu = np.zeros(components), np.zeros((components, width))
    sigma = np.zeros((components, width, width))
    for k in range(components):
        mass = sum(weight[i] * gamma[i, k] for i in range(n))
        phi[k] = mass / sum(weight)
        mu[k] = sum(weight[i] * gamma[i, k] * z[i] for i in range(n)) / mass
        for i in range(n):
            centred = z[i] - mu[k]
            sigma[k] += weight[i] * gamma[i, k] * np.outer(centred, centred)
        sigma[k] /= mass
    return phi, mu, sigma


def spread_of(z, weight):
    mean = np.average(z, axis=0, weights=weight)
    return np.maximum(np.average((z - mean) ** 2, axis=0, weights=weight), 1e-6)


def energy_of(z, phi, mu, covariance):
    """Equation 6, by inverse and determinant."""
    result = []
    for row in z:
        logs = []
        for k in range(len(phi)):
            centred = row - mu[k]
            distance = centred @ np.linalg.inv(covariance[k]) @ centred
            log_det = np.linalg.slogdet(2 * np.pi * covariance[k])[1]
            logs.append(math.log(phi[k]) - 0.5 * distance - 0.5 * log_det)
        top = max(logs)
        result.append(-(top + math.log(sum(math.exp(v - top) for v in logs))))
    return np.array(result)


def variational_bound(z, gamma, phi, mu, covariance):
    """Equation 10: minus the expected complete log-likelihood, minus the entropy of gamma."""
    result = []
    for row, members in zip(z, gamma, strict=True):
        bound = 0.0
        for k in range(len(phi)):
            centred = row - mu[k]
            distance = centred @ np.linalg.inv(covariance[k]) @ centred
            log_det = np.linalg.slogdet(2 * np.pi * covariance[k])[1]
            log_joint = math.log(phi[k]) - 0.5 * distance - 0.5 * log_det
            bound -= members[k] * (log_joint - math.log(members[k]))
        result.append(bound)
    return np.array(result)


def objective(parameters, x, weight, settings):
    """Every quantity of the training objective of one member, equation 7."""
    parameters = {name: np.asarray(p, np.float64) for name, p in parameters.items()}
    x = np.asarray(x, np.float64)
    rows = [latent_row(parameters, row, settings.reconstruction_features) for row in x]
    z = np.array([row[0] for row in rows])
    squares = [sum((a - b) ** 2) for a, (_, b) in zip(x, rows, strict=True)]
    if settings.reconstruction_reduction == "mean":
        squares = [s / x.shape[1] for s in squares]
    if settings.latent_scaling == "standardised":
        mean = np.average(z, axis=0, weights=weight)
        variance = np.average((z - mean) ** 2, axis=0, weights=weight)
        z = (z - mean) / np.sqrt(variance + 1e-12)
    gamma = np.array([softmax(dense(parameters, "estimation", row)) for row in z])
    phi, mu, sigma = mixture_of(z, gamma, weight)
    covariance = sigma + settings.jitter * np.diag(spread_of(z, weight))
    energy = energy_of(z, phi, mu, covariance)
    penalty = sum(1.0 / covariance[k, d, d] for k in range(len(phi)) for d in range(z.shape[1]))
    reconstruction = np.average(squares, weights=weight)
    mean_energy = np.average(energy, weights=weight)
    return {
        "z": z,
        "gamma": gamma,
        "phi": phi,
        "mu": mu,
        "covariance": covariance,
        "energies": energy,
        "reconstruction": reconstruction,
        "energy": mean_energy,
        "penalty": penalty,
        "total": reconstruction
        + settings.lambda_energy * mean_energy
        + settings.lambda_penalty * penalty,
    }
