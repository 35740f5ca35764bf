"""DAGMM as a scikit-learn estimator."""

from collections.abc import Sequence
from typing import Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.utils.validation import validate_data

from dagmm_model.base.arrays import Float
from dagmm_model.base.checkpoint import Checkpointing
from dagmm_model.base.distributed import ALONE, Ranks
from dagmm_model.detectors.fitting import (
    Ready,
    check_contamination,
    fitted_scorer,
    least_rows,
    seeds_for,
)
from dagmm_model.detectors.parameters import DagmmParameters
from dagmm_model.scoring.inference import Scorer
from dagmm_model.scoring.views import fit_views
from dagmm_model.tables.encoded import Encoded
from dagmm_model.tables.rows import hold_out, quantile, scaled32, training_rows
from dagmm_model.tables.scaling import Scaler
from dagmm_model.training.epochs import Execution, Observer
from dagmm_model.training.loop import Trained, selects
from dagmm_model.training.phases import train_in_phases


class DAGMM(DagmmParameters):
    """Deep autoencoding Gaussian mixture model (Zong et al., ICLR 2018).

    An autoencoder compresses a row to a code; the code and the reconstruction's error form the
    latent row z; an estimation network assigns z to the components of a Gaussian mixture; all are
    trained together. The energy of a row, its negative log-likelihood under the mixture of all
    training rows, says how anomalous it is: higher = more anomalous.

    Rows must be numeric, with categories already one-hot encoded; scaling is part of the
    estimator. The result does not depend on the order of the rows, nor, on a CPU, on the number of
    processors: equal rows, settings and ``random_state`` give equal bits. On a GPU they do as far
    as its libraries' sums do.

    Args:
        preset: recommended, recommended-fast, paper, paper-kddcup, paper-kddcup-rev,
            paper-thyroid or paper-arrhythmia. What is not named here is a setting of the model,
            which `DagmmSettings` describes; None takes it from the preset.
        contamination: expected share of anomalies in the training rows, in (0, 0.5]; it sets
            ``offset_`` and nothing else.
        engine: auto, numpy, torch, torch-graph (a captured step, on a GPU), torch-compiled or
            torch-triton.
        device: auto, cpu, cuda or cuda:N; auto is a GPU where there is one and the training is
            large enough for it.
        random_state: seed of the members.

    Attributes:
        settings_: the resolved `DagmmSettings`.
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
                ``keep_best``), or for which the terms of the objective are recorded.
            observers: called with the `EpochRecord` of each epoch.
            checkpoint: where to write checkpoints and resume from.
            ranks: that train together, see `dagmm_model.base.distributed.launched_ranks`.

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
        how = Execution(observers, checkpoint, self.engine, self.device, ranks)
        trained = train_in_phases(
            ready.scaled,
            ready.settings,
            ready.seeds,
            how,
            sample_weight=ready.weight,
            validation=ready.held,
        )
        return self._finished(ready, trained) if ranks.first else self

    def _prepared(
        self,
        X: ArrayLike,
        sample_weight: ArrayLike | None = None,
        validation: ArrayLike | None = None,
    ) -> Ready:
        """Rows, settings and seeds of a training; `fit` says what can be wrong with them."""
        check_contamination(self.contamination)
        given: NDArray[np.floating]
        given = validate_data(self, X, dtype=[np.float64, np.float32], ensure_min_samples=2)
        X, weight = training_rows(given, sample_weight)
        settings = self.settings_for(*X.shape)
        seeds, last = seeds_for(settings, len(X), self.random_state)
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
        scorer = fitted_scorer(ready, trained)
        self._take(trained, ready.scaler, scorer, ready.rows, ready.weight, ready.seeds[0])
        scores = -self._row_scorer.energy(Encoded.of(ready.given))
        self.offset_ = quantile(scores, self.contamination, ready.sample_weight)
        return self

    def _take(
        self,
        trained: Trained,
        scaler: Scaler,
        scorer: Scorer,
        X: NDArray[np.floating],
        weight: Float | None,
        seed: int,
    ) -> None:
        """Take what was trained, and fit the views that the settings combine it with, on rows X."""
        self.settings_, views = scorer.settings, None
        if (names := self.settings_.views) != ("energy",):
            axes = None
            if "axes" in names:
                along = DAGMM(
                    preset="recommended-fast", epochs=0, random_state=seed, engine="numpy"
                )
                along.fit(X, sample_weight=weight)
                axes = along._scaler, along._scorer
            views = fit_views(scaler, scorer, axes, X, weight, seed)
        self._score_by(scaler, scorer, views)
        self.history_, self.kept_, self.device_ = trained.history, trained.kept, trained.device
        self.n_iter_ = len(trained.history)
