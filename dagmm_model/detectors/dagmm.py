"""DAGMM as a scikit-learn estimator."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from numbers import Real
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, OutlierMixin
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted, validate_data

from dagmm_model.base.checkpoint import Checkpointing
from dagmm_model.base.distributed import ALONE, Ranks
from dagmm_model.base.processors import chunks, each_chunk
from dagmm_model.base.settings import from_json, refuse, unknown
from dagmm_model.detectors.interface import Arrays, State
from dagmm_model.engines.choice import ENGINES, Device
from dagmm_model.mixture.mixture import Mixture, MixtureHealth
from dagmm_model.networks.network import Parameters, initialise
from dagmm_model.networks.presets import PRESETS, resolve
from dagmm_model.networks.settings import Settings
from dagmm_model.scoring.explanation import Explanation
from dagmm_model.scoring.inference import Scorer, fit_scorer
from dagmm_model.scoring.views import Views, fit_views
from dagmm_model.scoring.views_scorer import EnergyScorer, scorer_for
from dagmm_model.scoring.wide import joined, own, own_mixtures
from dagmm_model.tables.encoded import Encoded, Layout
from dagmm_model.tables.rows import hold_out, quantile, scaled32, training_rows
from dagmm_model.tables.scaling import Scaler
from dagmm_model.training.epochs import Epoch, EpochLike, Observer
from dagmm_model.training.loop import Trained, selects
from dagmm_model.training.phases import train_in_phases
from dagmm_model.training.records import record_from

Float = NDArray[np.float64]

OVERRIDES = tuple(field.name for field in fields(Settings) if field.name != "preset")
"""Parameters that replace a setting of the preset unless None."""

ANY_SHAPE = (10_000, 30)
"""Rows and columns by which settings are checked before there is a table."""

RUNTIME = ("contamination", "engine", "device")
"""Parameters that are not settings of the model."""


@dataclass(frozen=True)
class Ready:
    """What a training of a `DAGMM` needs, and what is done with its result.

    Attributes:
        given: ``(n, D)`` rows as they were given.
        sample_weight: as it was given.
        rows: those that train, in canonical order.
        weight: ``(n,)`` of these, or None.
        scaler: of the columns.
        scaled: ``(n, D)`` float32 training rows.
        held: ``(m, D)`` scaled validation rows, or None.
        settings: resolved for this table.
        seeds: of the members.
        last: of the member with the wide code.
    """

    given: NDArray[np.floating]
    sample_weight: ArrayLike | None
    rows: NDArray[np.floating]
    weight: Float | None
    scaler: Scaler
    scaled: NDArray[np.float32]
    held: NDArray[np.floating] | None
    settings: Settings
    seeds: list[int]
    last: list[int]


class DAGMM(OutlierMixin, BaseEstimator):  # type: ignore[misc]  # scikit-learn has no types
    """Deep autoencoding Gaussian mixture model (Zong et al., ICLR 2018).

    An autoencoder compresses a row to a code; the code and the reconstruction's error form the
    latent row z; an estimation network assigns z to the components of a Gaussian mixture; all are
    trained together. The energy of a row, its negative log-likelihood under the mixture of all
    training rows, says how anomalous it is: higher = more anomalous.

    Rows must be numeric, with categories already one-hot encoded; scaling is part of the
    estimator. The result does not depend on the order of the rows, nor, on a CPU, on the number of
    processors: equal rows, settings and ``random_state`` give equal bits. On a GPU they do as far
    as its libraries' sums do.

    Every parameter that is None is taken from the preset; `Settings` describes them.

    Args:
        preset: recommended, recommended-fast, paper, paper-kddcup, paper-kddcup-rev,
            paper-thyroid or paper-arrhythmia.
        encoder_widths: units of the encoder's layers, the last is the code.
        estimation_widths: units of the estimation network's hidden layers.
        n_components: mixture components K.
        dropout: rate in the estimation network.
        scaling: none, minmax, standard, numeric, robust, soft, clipped, whitened or tempered.
        initial_weights: glorot or fan_in.
        reconstruction_features: paper, log_error or log_error_cosine.
        latent_scaling: none or standardised.
        members: independently seeded networks whose energies are averaged.
        wide_code: code of one more, untrained member; 0 for none.
        lambda_reconstruction: weight of the reconstruction loss.
        lambda_energy: weight of the energy (lambda_1 of the paper's equation 7).
        lambda_penalty: weight of the singularity penalty (lambda_2).
        reconstruction_reduction: sum (the paper's squared norm) or mean over the columns.
        epochs: passes over the rows.
        batch_size: largest number of rows of a step.
        learning_rate: of Adam.
        learning_rate_schedule: constant, cosine or warmup_cosine.
        gradient_clip: largest norm of a member's gradient.
        jitter: relative jitter of the covariances.
        early_stopping: evaluations without a better validation energy before training stops.
        keep_best: keep the epoch of the lowest validation energy.
        validation_fraction: share of the rows held out where an epoch is chosen and no validation
            rows are given.
        evaluate_every: epochs between two validation energies.
        linear_path: none or pca: a fixed linear autoencoder beside the trained one.
        refinement: steps of expectation-maximisation of the final mixture.
        overlap_weight: how much overlapping components are held against their number.
        mixture_term: energy or variational.
        layer_epochs: epochs in which each layer is trained by itself first.
        autoencoder_epochs: epochs in which the autoencoder is then trained by itself.
        freeze_compression: leave the compression network as it then is.
        alternating: descend reconstruction and mixture in turns, not together.
        final_mixture: memberships or em.
        criterion: energy or reconstruction.
        masking: largest share of the columns hidden from the encoder in training.
        views: what the energy is made of: some of energy, error, neighbours and axes.
        contamination: expected share of anomalies in the training rows, in (0, 0.5]; it sets
            ``offset_`` and nothing else.
        engine: auto, numpy, torch, torch-graph (a captured step, on a GPU), torch-compiled or
            torch-triton.
        device: auto, cpu, cuda or cuda:N; auto is a GPU where there is one and the training is
            large enough for it.
        random_state: seed of the members.

    Attributes:
        settings_: the resolved `Settings`.
        mixtures_: one `Mixture` for each member, that of the wide code last.
        health_: `MixtureHealth` of the first member; None where the score uses no mixture.
        history_: an `EpochRecord` for each epoch; an `Epoch` for one before the objective's.
        n_iter_: number of epochs trained.
        device_: where they were trained, and why there; not kept with a saved detector.
        kept_: epoch kept for each member.
        offset_: threshold on `score_samples`: rows below it are anomalies.
        n_features_in_: columns.
        feature_names_in_: their names, where X had some.

    Example:
        >>> import numpy as np
        >>> from dagmm_model import DAGMM
        >>> rows = np.random.default_rng(0).normal(size=(200, 4))
        >>> detector = DAGMM(epochs=20, members=1, random_state=0).fit(rows)
        >>> detector.energy([[0.0, 0.0, 0.0, 0.0]]) < detector.energy([[9.0, -9.0, 9.0, 9.0]])
        array([ True])

    The methods' examples go on with these.
    """

    name: ClassVar[str] = "dagmm"
    presets: ClassVar[tuple[str, ...]] = PRESETS
    fixed: ClassVar[Mapping[str, Any]] = {}
    """Settings that make a variant what it is."""

    settings_: Settings
    history_: tuple[EpochLike, ...]
    device_: Device
    kept_: tuple[int, ...]
    n_iter_: int
    offset_: float
    n_features_in_: int
    _scaler: Scaler
    _scorer: Scorer
    _views: Views | None
    _row_scorer: EnergyScorer

    def __init__(
        self,
        *,
        preset: str = "recommended",
        encoder_widths: Sequence[int] | None = None,
        estimation_widths: Sequence[int] | None = None,
        n_components: int | None = None,
        dropout: float | None = None,
        scaling: str | None = None,
        initial_weights: str | None = None,
        reconstruction_features: str | None = None,
        latent_scaling: str | None = None,
        members: int | None = None,
        wide_code: int | None = None,
        lambda_reconstruction: float | None = None,
        lambda_energy: float | None = None,
        lambda_penalty: float | None = None,
        reconstruction_reduction: str | None = None,
        epochs: int | None = None,
        batch_size: int | None = None,
        learning_rate: float | None = None,
        learning_rate_schedule: str | None = None,
        gradient_clip: float | None = None,
        jitter: float | None = None,
        early_stopping: int | None = None,
        keep_best: bool | None = None,
        validation_fraction: float | None = None,
        evaluate_every: int | None = None,
        linear_path: str | None = None,
        refinement: int | None = None,
        overlap_weight: float | None = None,
        mixture_term: str | None = None,
        layer_epochs: int | None = None,
        autoencoder_epochs: int | None = None,
        freeze_compression: bool | None = None,
        alternating: bool | None = None,
        final_mixture: str | None = None,
        criterion: str | None = None,
        masking: float | None = None,
        views: Sequence[str] | None = None,
        contamination: float = 0.1,
        engine: str = "auto",
        device: str = "auto",
        random_state: int | np.random.RandomState | None = None,
    ) -> None:
        self.preset = preset
        self.encoder_widths = encoder_widths
        self.estimation_widths = estimation_widths
        self.n_components = n_components
        self.dropout = dropout
        self.scaling = scaling
        self.initial_weights = initial_weights
        self.reconstruction_features = reconstruction_features
        self.latent_scaling = latent_scaling
        self.members = members
        self.wide_code = wide_code
        self.lambda_reconstruction = lambda_reconstruction
        self.lambda_energy = lambda_energy
        self.lambda_penalty = lambda_penalty
        self.reconstruction_reduction = reconstruction_reduction
        self.epochs = epochs
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.learning_rate_schedule = learning_rate_schedule
        self.gradient_clip = gradient_clip
        self.jitter = jitter
        self.early_stopping = early_stopping
        self.keep_best = keep_best
        self.validation_fraction = validation_fraction
        self.evaluate_every = evaluate_every
        self.linear_path = linear_path
        self.refinement = refinement
        self.overlap_weight = overlap_weight
        self.mixture_term = mixture_term
        self.layer_epochs = layer_epochs
        self.autoencoder_epochs = autoencoder_epochs
        self.freeze_compression = freeze_compression
        self.alternating = alternating
        self.final_mixture = final_mixture
        self.criterion = criterion
        self.masking = masking
        self.views = views
        self.contamination = contamination
        self.engine = engine
        self.device = device
        self.random_state = random_state

    def fit(
        self,
        X: ArrayLike,
        y: object = None,
        sample_weight: ArrayLike | None = None,
        *,
        validation: ArrayLike | None = None,
        observers: Sequence[Observer] = (),
        checkpoint: Checkpointing | None = None,
        ranks: Ranks = ALONE,
    ) -> Self:
        """Train on the rows of X, which may contain anomalies.

        Of several ranks, all call this with the same rows, and the first one's detector is fitted;
        the others have only helped.

        Args:
            X: ``(n, D)`` numeric rows, finite.
            y: ignored.
            sample_weight: ``(n,)`` non-negative weights; integers repeat a row (see
                `tables.rows.counts`), others weigh its loss, its memberships and its place
                in ``offset_``, but not in the scaling and the principal axes.
            validation: ``(m, D)`` rows whose energy chooses the epoch (with ``early_stopping`` or
                ``keep_best``) or is only recorded.
            observers: called with the `EpochRecord` of each epoch.
            checkpoint: where to write checkpoints and resume from.
            ranks: that train together, see `dagmm_model.base.distributed.joined`.

        Raises:
            ValueError: rows or settings that cannot be used.
            TrainingDiverged: a loss became infinite or NaN.
            CheckpointMismatch: the checkpoint is of another run.
            RanksLost: another rank has died.

        Example:
            >>> seen = []
            >>> one = DAGMM(preset="paper", epochs=3, random_state=0)
            >>> one.fit(rows, observers=[lambda record: seen.append(record.epoch)]).n_iter_
            3
            >>> seen
            [1, 2, 3]
        """
        ready = self._prepared(X, sample_weight, validation)
        trained = train_in_phases(
            ready.scaled,
            ready.settings,
            ready.seeds,
            sample_weight=ready.weight,
            validation=ready.held,
            observers=observers,
            checkpoint=checkpoint,
            engine=self.engine,
            device=self.device,
            ranks=ranks,
        )
        return self._finished(ready, trained) if ranks.first else self

    def _prepared(
        self,
        X: ArrayLike,
        sample_weight: ArrayLike | None = None,
        validation: ArrayLike | None = None,
    ) -> Ready:
        """Rows, settings and seeds of a training; `fit` says what can be wrong with them."""
        self._check_contamination()
        given: NDArray[np.floating]
        given = validate_data(self, X, dtype=[np.float64, np.float32], ensure_min_samples=2)
        X, weight = training_rows(given, sample_weight)
        settings = self.settings_for(*X.shape)
        seeds, last = self._seeds(settings, len(X))
        held = None
        if validation is not None:
            held = validate_data(self, validation, dtype=[np.float64, np.float32], reset=False)
        elif selects(settings):
            X, weight, held = hold_out(
                X, weight, settings.validation_fraction, least_rows(settings), seeds[0]
            )
        scaler = Scaler.fit(settings.scaling, X)
        held = None if held is None else scaled32(scaler, held)
        scaled = scaled32(scaler, X)
        return Ready(given, sample_weight, X, weight, scaler, scaled, held, settings, seeds, last)

    def _finished(self, ready: Ready, trained: Trained) -> Self:
        """Take what was trained: the mixture of all rows, and the threshold."""
        X, weight, scaler = ready.rows, ready.weight, ready.scaler
        self.settings_ = settings = ready.settings

        def score(parameters: Parameters, of: Settings, jitter: Float, seeds: list[int]) -> Scorer:
            rows, n = (lambda part: scaler.transform(X[part], None)), len(X)
            return fit_scorer(parameters, of, jitter, rows, n, weight, seeds)

        scorer = score(trained.parameters, settings, trained.jitter, ready.seeds)
        if (wide := settings.wide()) is not None:
            initial = initialise(wide, X.shape[1], ready.last, ready.scaled)
            scorer = joined(scorer, score(initial, wide, np.array([wide.jitter]), ready.last))
        views = self._fit_views(scaler, scorer, X, weight, ready.seeds[0])
        self._score_by(scaler, scorer, views)
        self.history_, self.device_ = trained.history, trained.device
        self.kept_ = trained.kept
        self.n_iter_ = len(trained.history)
        scores = -self._row_scorer.energy(Encoded.of(ready.given))
        self.offset_ = quantile(scores, self.contamination, ready.sample_weight)
        return self

    def _fit_views(
        self,
        scaler: Scaler,
        scorer: Scorer,
        X: NDArray[np.floating],
        weight: Float | None,
        seed: int,
    ) -> Views | None:
        """What the settings combine with the network's energy, if anything."""
        names = scorer.settings.views
        if names == ("energy",):
            return None
        axes = None
        if "axes" in names:
            along = DAGMM(preset="recommended-fast", epochs=0, random_state=seed, engine="numpy")
            along.fit(X, sample_weight=weight)
            axes = along._scaler, along._scorer
        return fit_views(scaler, scorer, axes, X, weight, seed)

    def _check_contamination(self) -> None:
        if (
            not isinstance(self.contamination, Real)
            or isinstance(self.contamination, bool)
            or not 0 < self.contamination <= 0.5
        ):
            raise ValueError(
                f"contamination={self.contamination!r} cannot be used; give a share in (0, 0.5]"
            )

    def _seeds(self, settings: Settings, n: int) -> tuple[list[int], list[int]]:
        """One for each member, of a training on n rows; and those of the wide code's."""
        if n < least_rows(settings):
            raise ValueError(
                f"n_samples={n} rows cannot carry {settings.n_components} mixture components; "
                "give at least as many rows, or lower n_components"
            )
        count = settings.members + (settings.wide() is not None)
        drawn = check_random_state(self.random_state).randint(2**31 - 1, size=count)
        seeds = [int(seed) for seed in drawn]
        return seeds[: settings.members], seeds[settings.members :]

    @classmethod
    def configure(cls, preset: str, seed: int, settings: Mapping[str, Any]) -> Self:
        """An unfitted detector, see `dagmm_model.detectors.interface.Detector.configure`."""
        if preset not in cls.presets:
            raise unknown(f"preset of {cls.name}", preset, cls.presets)
        free = [name for name in (*OVERRIDES, *RUNTIME) if name not in cls.fixed]
        for name in settings:
            if name in cls.fixed:
                refuse(name, settings[name], f"another detector: it is what makes {cls.name}")
            if name not in free:
                raise unknown("setting", name, free)
        if settings.get("engine", "auto") not in ENGINES:
            refuse("engine", settings["engine"], f"one of {', '.join(ENGINES)}")
        detector = cls(preset=preset, random_state=seed, **settings)
        detector.settings_for(*ANY_SHAPE)  # refuses what no table could be fitted with
        return detector

    def settings_for(self, n_rows: int, n_columns: int) -> Settings:
        """The settings that a fit on a table of this shape would have.

        Raises:
            SettingsError: unknown preset, or a value that cannot be used.
        """
        overrides = {name: getattr(self, name) for name in OVERRIDES}
        given = {name: value for name, value in overrides.items() if value is not None}
        preset, changes = self.variant()
        return resolve(preset, n_columns, n_rows, {**changes, **given, **self.fixed})

    def variant(self) -> tuple[str, Mapping[str, Any]]:
        """A preset of `PRESETS`, and what a variant changes in it where the caller does not."""
        return self.preset, {}

    @property
    def mixtures_(self) -> tuple[Mixture, ...]:
        """The mixture of each member; none where the score uses none."""
        check_is_fitted(self)
        return own_mixtures(self._scorer)

    @property
    def health_(self) -> MixtureHealth | None:
        """Health of the first member's mixture, if there is one.

        Example:
            >>> 1.0 <= detector.health_.effective_components <= 16.0
            True
        """
        return self.mixtures_[0].health() if self.mixtures_ else None

    def __sklearn_is_fitted__(self) -> bool:
        """Whether `fit` has ended."""
        return hasattr(self, "offset_")

    def _rows(self, X: ArrayLike) -> NDArray[np.floating]:
        check_is_fitted(self)
        rows: NDArray[np.floating] = validate_data(
            self, X, dtype=[np.float64, np.float32], reset=False
        )
        return rows

    def _score_by(self, scaler: Scaler, scorer: Scorer, views: Views | None) -> None:
        """Take what decides the energies."""
        self._scaler, self._scorer, self._views = scaler, scorer, views
        self._row_scorer = self.for_layout((None,) * len(scaler.centre))

    def for_layout(self, layout: Layout) -> EnergyScorer:
        """A scorer of encoded rows, see `dagmm_model.detectors.interface.ForLayout`."""
        return scorer_for(self._scaler, self._scorer, self._views, layout)

    def energy(self, X: ArrayLike) -> Float:
        """What the score is made of; higher = more anomalous.

        With one view the sample energy (paper, equation 6), or the reconstruction error; with
        several the mean of their surprisals (see `dagmm_model.scoring.views`).

        Args:
            X: ``(n, D)`` rows.

        Returns:
            ``(n,)`` float64.

        Raises:
            NotFittedError: `fit` has not ended.
            ValueError: another number of columns, or a value that cannot be scored; its row and
                column are named. So in all methods that take rows.

        Example:
            >>> far = rows[:3] + [[0.0], [5.0], [50.0]]
            >>> bool((np.diff(detector.energy(far)) > 0).all())
            True
        """
        rows = self._rows(X)
        return self._row_scorer.energy(Encoded.of(rows))

    def score_samples(self, X: ArrayLike) -> Float:
        """``-energy(X)``, the log-likelihood: higher = more normal, ``(n,)``.

        Example:
            >>> bool((detector.score_samples(rows) == -detector.energy(rows)).all())
            True
        """
        return -self.energy(X)

    def decision_function(self, X: ArrayLike) -> Float:
        """``score_samples(X) - offset_``: negative for anomalies, ``(n,)``.

        Example:
            >>> float((detector.decision_function(rows) < 0).mean()) == detector.contamination
            True
        """
        result: Float = self.score_samples(X) - self.offset_
        return result

    def predict(self, X: ArrayLike) -> NDArray[np.int64]:
        """+1 for normal rows, -1 for anomalies, ``(n,)``.

        Example:
            >>> detector.predict(np.stack([rows[3], rows[3] + [9.0, -9.0, 9.0, 9.0]]))
            array([ 1, -1])
        """
        return np.where(self.decision_function(X) < 0, -1, 1)

    def state(self) -> State:
        """Values and arrays for disk, see `dagmm_model.detectors.interface.Detector.state`.

        Raises:
            sklearn.exceptions.NotFittedError: the detector is not fitted.
            ValueError: ``random_state`` is a generator, which JSON does not hold.
        """
        check_is_fitted(self)
        if not isinstance(self.random_state, (int, np.integer, type(None))):
            raise ValueError("random_state is a generator; set it to an integer or None to save")
        names = getattr(self, "feature_names_in_", None)
        history: tuple[Any, ...] = self.history_
        views, view_arrays = (None, {}) if self._views is None else self._views.to_state()
        values = {
            "params": self.get_params(deep=False),
            "settings": asdict(self.settings_),
            "scaler": self._scaler.kind,
            "jitter": [mixture.jitter for mixture in self._scorer.mixtures],
            "offset": self.offset_,
            "kept": self.kept_,
            "n_features_in": self.n_features_in_,
            "feature_names_in": None if names is None else [str(name) for name in names],
            "history": [asdict(record) for record in history],
            "views": views,
        }
        return values, self._scorer.to_arrays() | self._scaler.to_arrays() | view_arrays

    @classmethod
    def from_state(cls, values: dict[str, Any], arrays: Arrays) -> Self:
        """The fitted detector of a `state`."""
        detector = cls(**values["params"])
        detector.settings_ = from_json(Settings, values["settings"])
        views = values.get("views")  # models of before the views have one
        detector._score_by(
            Scaler.from_arrays(values["scaler"], arrays),
            Scorer.from_arrays(detector.settings_, values["jitter"], arrays),
            None if views is None else Views.from_state(views, arrays),
        )
        detector.history_ = tuple(
            Epoch(**record) if "terms" in record else record_from(record)
            for record in values["history"]
        )
        detector.kept_ = tuple(values["kept"])
        detector.n_iter_ = len(detector.history_)
        detector.n_features_in_ = values["n_features_in"]
        if values["feature_names_in"] is not None:
            detector.feature_names_in_ = np.array(values["feature_names_in"], dtype=object)
        detector.offset_ = values["offset"]
        return detector

    def latent(self, X: ArrayLike) -> Float:
        """Latent rows z ``(n, L)`` of the first member (paper, equations 1 to 3).

        The code, then the error's features.

        Example:
            >>> detector.latent(rows).shape  # a code of four coordinates, the error's logarithm
            (200, 5)
        """
        rows = self._rows(X)
        return np.concatenate(
            [
                self._scorer.latent(self._scaler.transform(rows[part]))[0][:, own(self._scorer)]
                for part in chunks(len(rows))
            ]
        )

    def reconstruction_error(self, X: ArrayLike) -> Float:
        """Squared error of the scaled rows' reconstruction, mean over the members: ``(n,)``.

        What the network detects without its mixture; the wide code has no part in it.

        Example:
            >>> bool(detector.reconstruction_error(rows + 9.0).min() > 1.0)
            True
        """
        rows = self._rows(X)
        out = np.empty(len(rows))

        def one(part: slice) -> None:
            x = np.asarray(self._scaler.transform(rows[part], part.start), dtype=np.float64)
            errors = self._scorer.reconstruction_errors(x)
            out[part] = errors[: self._scorer.reconstructing].mean(axis=0)

        each_chunk(one, len(rows))
        return out

    def explain(self, X: ArrayLike) -> Explanation:
        """Shares of the columns in the reconstruction error, and the responsible component.

        Of the members but that of the wide code.

        Example:
            >>> reasons = detector.explain([[0.0, 0.0, 30.0, 0.0]])
            >>> int(reasons.shares[0].argmax())
            2
        """
        rows = self._rows(X)
        return self._row_scorer.score(Encoded.of(rows), -np.inf).explanation


def least_rows(settings: Settings) -> int:
    """Fewest rows that carry the mixture's components."""
    return max(2, settings.n_components)
