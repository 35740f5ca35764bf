"""A fitted DAGMM: energies of rows, reasons, what it looks like inside, and its state for disk."""

from dataclasses import asdict
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, OutlierMixin
from sklearn.utils.validation import check_is_fitted, validate_data

from dagmm_model.base.arrays import Float
from dagmm_model.base.processors import chunks, each_chunk
from dagmm_model.base.settings import from_json
from dagmm_model.detectors.interface import Arrays, State
from dagmm_model.engines.choice import Device
from dagmm_model.mixture.mixture import Mixture, MixtureHealth
from dagmm_model.networks.settings import DagmmSettings
from dagmm_model.scoring.explanation import Explanation
from dagmm_model.scoring.fused import FusedScorer
from dagmm_model.scoring.inference import Scorer, from_state, state_of
from dagmm_model.scoring.views import Views
from dagmm_model.scoring.views_scorer import EnergyScorer, ViewsScorer
from dagmm_model.scoring.wide import own_coordinates, own_mixtures
from dagmm_model.tables.encoded import Encoded, Layout
from dagmm_model.tables.scaling import Scaler
from dagmm_model.training.epochs import Epoch, EpochLike
from dagmm_model.training.records import EpochRecord


class FittedDagmm(OutlierMixin, BaseEstimator):  # type: ignore[misc]  # scikit-learn has no types
    """What a `DAGMM` can do once it is fitted.

    Example:
        >>> import numpy as np
        >>> from dagmm_model import DAGMM
        >>> rows = np.random.default_rng(0).normal(size=(200, 4))
        >>> detector = DAGMM(epochs=20, members=1, random_state=0).fit(rows)

    The methods' examples go on with these.
    """

    settings_: DagmmSettings
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
        if self._views is None and not self._scorer.settings.masking:
            return FusedScorer(self._scaler, self._scorer, layout)
        return ViewsScorer(self._scaler, self._scorer, self._views, layout)

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
        return self.score_samples(X) - self.offset_

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
        scored, arrays = state_of((self._scaler, self._scorer))
        views, view_arrays = (None, {}) if self._views is None else self._views.to_state()
        values = {
            "params": self.get_params(deep=False),
            **scored,
            "offset": self.offset_,
            "kept": self.kept_,
            "n_features_in": self.n_features_in_,
            "feature_names_in": None if names is None else [str(name) for name in names],
            "history": [asdict(record) for record in history],
            "views": views,
        }
        return values, arrays | view_arrays

    @classmethod
    def from_state(cls, values: dict[str, Any], arrays: Arrays) -> Self:
        """The fitted detector of a `state`."""
        detector = cls(**values["params"])
        scaler, scorer = from_state(values, arrays)
        views = values.get("views")  # models of before the views have one
        views = None if views is None else Views.from_state(views, arrays)
        detector.settings_ = scorer.settings
        detector._score_by(scaler, scorer, views)
        detector.history_ = tuple(
            Epoch(**record) if "terms" in record else from_json(EpochRecord, record)
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
        rows, own = self._rows(X), own_coordinates(self._scorer)
        scaled = (self._scaler.transform(rows[part]) for part in chunks(len(rows)))
        return np.concatenate([self._scorer.latent(x)[0][:, own] for x in scaled])

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
