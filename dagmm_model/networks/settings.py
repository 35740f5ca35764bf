"""Settings of a detector: everything that decides how it is trained."""

from dataclasses import dataclass, replace
from typing import ClassVar, Self

from dagmm_model.base.settings import CheckedSettings, refuse

SCALINGS = (
    *("none", "minmax", "standard", "numeric"),
    *("robust", "soft", "clipped", "whitened", "tempered"),
)

VIEWS = ("energy", "error", "neighbours", "axes")
"""What an energy can be made of, see `DagmmSettings`."""


@dataclass(frozen=True)
class DagmmSettings(CheckedSettings):
    """Everything that decides how a detector is trained, resolved to values.

    Attributes:
        preset: the name the settings were taken from.
        encoder_widths: units of the encoder's layers; the last is the code. The decoder mirrors it.
        estimation_widths: units of the estimation network's hidden layers.
        n_components: number of mixture components K.
        dropout: rate of the estimation network's hidden layers, in [0, 1).
        scaling: of the input columns: none, minmax, standard, numeric (standard, with columns of
            two values as 0 and 1), robust (median, IQR, arcsinh), soft (the same, then standard),
            clipped (standard, softly clipped at 4.5 deviations, and standard again), whitened
            (arcsinh, then principal axes of equal variance) or tempered (the same, with columns
            that are mostly one value counting half).
        initial_weights: glorot (uniform after Glorot and Bengio, biases 0), or fan_in (weights and
            biases uniform within 1 / sqrt(inputs), PyTorch's rule).
        reconstruction_features: paper (relative distance, cosine), log_error or log_error_cosine.
            The paper's are bounded: rows far away from all others, a thousand deviations or a
            million, get about the same energy. The logarithm of the error keeps their order.
        latent_scaling: none, or standardised (every coordinate of z to mean 0 and variance 1).
        members: independently seeded networks, trained as one; their energies are averaged.
        wide_code: code of one more member, which is left as it starts and whose mixture has the
            number of components of the best Bayesian information criterion; 0 for no such member.
            Where it is no wider than the others', or the reconstruction is the criterion, there is
            none.
        lambda_reconstruction: weight of the reconstruction loss (1 in the paper's equation 7).
        lambda_energy: weight of the mean sample energy (paper: 0.1).
        lambda_penalty: weight of the singularity penalty (paper: 0.005).
        reconstruction_reduction: sum over the columns (the paper's squared norm) or their mean.
        epochs: passes over the training rows; 0 leaves the random weights, as a baseline.
        batch_size: largest number of rows of a step; batches of an epoch are of equal size.
        learning_rate: of Adam.
        learning_rate_schedule: constant, cosine (from the learning rate down to 0) or
            warmup_cosine (the same after 20 steps of growing rate).
        gradient_clip: largest norm of a member's gradient, or None.
        jitter: relative jitter of the covariances, see `dagmm_model.mixture.mixture.Mixture`.
        early_stopping: evaluations without a better validation energy before training stops,
            or None for no early stopping.
        keep_best: keep the epoch with the lowest validation energy instead of the last.
        validation_fraction: rows held out where validation rows are needed and none are given.
        evaluate_every: epochs between two validation energies.
        linear_path: none, or pca: a fixed linear encoder and decoder, of the leading principal
            axes, beside the trained ones.
        refinement: steps of expectation-maximisation that the final mixture is refined by, from
            the estimation network's memberships on, while its number of components is chosen (see
            `dagmm_model.mixture.selection`); 0 for the paper's mixture.
        overlap_weight: how much it is held against a number of components that they overlap.
        mixture_term: energy, or variational: its upper bound with the memberships as approximate
            posterior (paper, equation 10).
        layer_epochs: epochs in which each layer of encoder and decoder is trained by itself to
            reconstruct its input, before anything else; 0 for none.
        autoencoder_epochs: epochs in which the compression network is then trained by itself, on
            the reconstruction alone; 0 for none.
        freeze_compression: whether it is left as it is from then on.
        final_mixture: memberships (of the estimation network, as in the paper), or em:
            expectation-maximisation from scratch, started by k-means.
        alternating: whether reconstruction and mixture are descended in turns, each by an optimiser
            of its own, instead of together.
        criterion: energy, or reconstruction: the squared reconstruction error of the scaled row.
        masking: largest share of a row's columns that are hidden from the encoder in training, and
            reconstructed from the others; each row has a share of its own between 0 and this. At
            scoring every column is hidden in turn (see `dagmm_model.scoring.masked`). 0 for none.
        views: what the energy is made of, see `dagmm_model.scoring.views`: energy (of the mixture
            over z), error (of the reconstruction of hidden columns), neighbours (distance to the
            nearest reference rows) and axes (the mixture along the principal axes, the rule of
            the preset `recommended-fast`, untrained). Of several, the mean of their surprisals.
    """

    preset: str = "paper-kddcup"
    encoder_widths: tuple[int, ...] = (60, 30, 10, 1)
    estimation_widths: tuple[int, ...] = (10,)
    n_components: int = 4
    dropout: float = 0.5
    scaling: str = "minmax"
    initial_weights: str = "glorot"
    reconstruction_features: str = "paper"
    latent_scaling: str = "none"
    members: int = 1
    wide_code: int = 0
    lambda_reconstruction: float = 1.0
    lambda_energy: float = 0.1
    lambda_penalty: float = 0.005
    reconstruction_reduction: str = "sum"
    epochs: int = 200
    batch_size: int = 1024
    learning_rate: float = 1e-4
    learning_rate_schedule: str = "constant"
    gradient_clip: float | None = None
    jitter: float = 1e-6
    early_stopping: int | None = None
    keep_best: bool = False
    validation_fraction: float = 0.1
    evaluate_every: int = 1
    linear_path: str = "none"
    refinement: int = 0
    overlap_weight: float = 3.0
    mixture_term: str = "energy"
    layer_epochs: int = 0
    autoencoder_epochs: int = 0
    freeze_compression: bool = False
    alternating: bool = False
    final_mixture: str = "memberships"
    criterion: str = "energy"
    masking: float = 0.0
    views: tuple[str, ...] = ("energy",)

    choices: ClassVar[dict[str, tuple[str, ...]]] = {
        "scaling": SCALINGS,
        "initial_weights": ("glorot", "fan_in"),
        "reconstruction_features": ("paper", "log_error", "log_error_cosine"),
        "latent_scaling": ("none", "standardised"),
        "reconstruction_reduction": ("sum", "mean"),
        "learning_rate_schedule": ("constant", "cosine", "warmup_cosine"),
        "linear_path": ("none", "pca"),
        "mixture_term": ("energy", "variational"),
        "final_mixture": ("memberships", "em"),
        "criterion": ("energy", "reconstruction"),
    }
    least: ClassVar[dict[str, float]] = dict.fromkeys(
        ("epochs", "refinement", "layer_epochs", "autoencoder_epochs", "wide_code"), 0
    )
    most: ClassVar[dict[str, float]] = {"jitter": 1e-2, "masking": 0.9}
    above: ClassVar[dict[str, float]] = dict.fromkeys(
        ("learning_rate", "gradient_clip", "validation_fraction"), 0
    )
    below: ClassVar[dict[str, float]] = {"dropout": 1, "validation_fraction": 1}

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.encoder_widths:
            refuse("encoder_widths", self.encoder_widths, "at least one width, that of the code")
        if self.layer_epochs and self.linear_path != "none":
            refuse("layer_epochs", self.layer_epochs, "0, or linear_path='none'")
        if self.freeze_compression and not self.mixes:
            refuse("freeze_compression", True, "a positive lambda_energy, or nothing is trained")
        if self.alternating and not (self.mixes and self.lambda_reconstruction > 0):
            refuse("alternating", True, "positive lambdas of reconstruction and mixture")
        self._check_views()

    def _check_views(self) -> None:
        if not isinstance(self.views, tuple) or any(view not in VIEWS for view in self.views):
            refuse("views", self.views, f"some of {', '.join(VIEWS)}")
        if not self.views or len(set(self.views)) < len(self.views):
            refuse("views", self.views, "at least one view, and each once")
        if "error" in self.views and not self.masking:
            refuse("views", self.views, "views without error, or a masking above 0")
        if self.masking:
            needed = {
                "linear_path": "none",
                "reconstruction_features": "log_error",
                "latent_scaling": "standardised",
                "criterion": "energy",
                "wide_code": 0,
                "layer_epochs": 0,
            }
            for name, value in needed.items():
                if getattr(self, name) != value:
                    refuse(name, getattr(self, name), f"{value!r}, or masking=0")
        if not {"energy", "error"} & set(self.views):
            refuse("views", self.views, "energy or error among them: the network's own views")
        if self.views != ("energy",) and self.criterion != "energy":
            refuse("criterion", self.criterion, "'energy', or views=('energy',)")

    @property
    def mixes(self) -> bool:
        """Whether the objective has a mixture; without one it is a plain autoencoder's."""
        return self.lambda_energy > 0 or self.lambda_penalty > 0

    def wide(self) -> Self | None:
        """The settings of the member with the wide code, if there is one."""
        if self.wide_code <= self.encoder_widths[-1] or self.criterion != "energy":
            return None
        return replace(
            self,
            encoder_widths=(*self.encoder_widths[:-1], self.wide_code),
            members=1,
            wide_code=0,
            overlap_weight=0.0,
        )
