"""What the steps of a run read and write on the device, besides the weights: rows, orders, draws.

All tensors stay where they are while there is room in them: a captured step knows them by their
place. On a GPU dropout and hidden columns are drawn there, from a generator that each member's own
stream seeds; on a CPU as the NumPy engine draws them.
"""

from collections.abc import Sequence
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dagmm_model.base.distributed import Part
from dagmm_model.engines.interface import TERMS, dropout_masks, visible_columns
from dagmm_model.networks.settings import DagmmSettings

ROUND = 64
"""What rows and steps of a captured step's tables are a multiple of."""


class StepTables:
    """Tensors of all rows, and of all steps of a run.

    Args:
        columns: D of the rows.
        members: S.
        settings: of the run.
        device: of the tensors.
        dtype: of the rows and of what multiplies them.
        captured: whether a captured step reads them, so that they are made a little larger.

    Attributes:
        x: ``(m + 1, D)``, the last row, of zeros, fills up batches.
        weight: ``(m + 1,)`` float64, 0 where there is no row.
        order: ``(steps, S, n)`` int32, each step's rows.
        rates: ``(steps,)`` learning rates.
        jitter: ``(steps, S, 1)`` float64.
        losses: ``(steps, S, 4)`` float64, written by the steps.
        masks: ``(steps, S, n, units)`` dropout factors.
        visible: ``(steps, S, n, D)`` bool, False where a column is hidden.
    """

    weight: Tensor
    rates: Tensor
    jitter: Tensor
    losses: Tensor
    masks: Tensor
    visible: Tensor

    def __init__(
        self,
        columns: int,
        members: int,
        settings: DagmmSettings,
        device: torch.device,
        dtype: torch.dtype,
        *,
        captured: bool,
    ) -> None:
        self._settings, self._captured = settings, captured
        self._new = partial(torch.zeros, device=device)
        self.x = self._new((0, columns), dtype=dtype)
        self.order = self._new((0, members, 0), dtype=torch.int32)

    def take(self, x: NDArray[np.floating]) -> bool:
        """Rows ``(n, D)`` in place of those before, each of weight 1; whether the tensors moved."""
        n, room = len(x), len(self.x) - 1
        moved = n > room
        if moved:
            room = n if room <= 0 else n + n // 4  # windows of a stream are not all of one size
            self.x = self._new((room + 1, x.shape[1]), dtype=self.x.dtype)
            self.weight = self._new(room + 1, dtype=torch.float64)
        self.x[:n] = torch.as_tensor(x)
        self.weight[:n] = 1.0
        self.weight[n:] = 0.0
        return moved

    def make_room(self, steps: int, batch: int) -> bool:
        """Room for steps of so many rows of each member; whether the tensors moved."""
        room_steps, members, room = self.order.shape
        if steps <= room_steps and room // 2 < batch <= room:
            return False
        steps = max(steps, room_steps)
        if self._captured:  # a stream's windows differ by a few steps, their batches by a few rows
            steps, batch = steps + -steps % ROUND, batch + -batch % ROUND
        settings, dtype, device = self._settings, self.x.dtype, self.x.device
        self.order = self._new((steps, members, batch), dtype=torch.int32)
        pinned = device.type == "cuda"
        self._staged = torch.empty(self.order.shape, dtype=torch.int32, pin_memory=pinned)
        self.rates = self._new(steps, dtype=torch.float64)
        self.jitter = self._new((steps, members, 1), dtype=torch.float64)
        self.losses = self._new((steps, members, len(TERMS)), dtype=torch.float64)
        units = sum(settings.estimation_widths) if settings.dropout > 0 else 0
        self.masks = self._new((steps, members, batch, units), dtype=dtype)
        columns = self.x.shape[1] if settings.masking > 0 else 0
        self.visible = self._new((steps, members, batch, columns), dtype=torch.bool)
        return True

    def put_order(self, order: NDArray[np.int64]) -> None:
        """Put the rows ``(S, steps, n)`` of each step on the device, in one copy.

        The host does not wait for it: what lies in pinned memory is fetched by the device itself.
        The copy before is done, for a run ends with its losses on the host.
        """
        _, steps, batch = order.shape
        staged = self._staged[:steps]
        staged[:, :, :batch] = torch.as_tensor(order.swapaxes(0, 1))
        staged[:, :, batch:] = len(self.x) - 1
        self.order[:steps].copy_(staged, non_blocking=True)

    def draw(
        self, steps: int, batch: int, streams: Sequence[np.random.Generator], part: Part
    ) -> None:
        """Hidden columns and dropout factors of each step, from each member's own stream.

        They are drawn for the batch of all ranks, so that a row's do not depend on who has it.
        """
        masks, visible = self.masks[:steps, :, :batch], self.visible[:steps, :, :batch]
        if self.x.device.type == "cpu":
            self._draw_as_numpy(masks, visible, streams, part)
            return
        rate, most = self._settings.dropout, self._settings.masking
        generator = torch.Generator(self.x.device)
        random = partial(torch.rand, generator=generator, device=self.x.device)
        here = slice(part.start, part.start + batch)
        for s, stream in enumerate(streams):
            rows = part.batch if part.each is None else part.each[s]
            generator.manual_seed(int(stream.integers(2**62)))
            for step in range(steps if most > 0 else 0):  # a wide table's would not fit at once
                share = most * random((rows, 1))
                seen = (random((rows, visible.shape[-1])) >= share)[here]
                visible[step, s, : len(seen)] = seen
            if rate > 0:
                kept = random((steps, rows, masks.shape[-1]))[:, here] >= rate
                masks[:, s, : kept.shape[1]] = kept.to(masks.dtype) / (1.0 - rate)

    def _draw_as_numpy(
        self, masks: Tensor, visible: Tensor, streams: Sequence[np.random.Generator], part: Part
    ) -> None:
        settings, batch = self._settings, masks.shape[2]
        for mask, seen in zip(masks, visible, strict=True):
            if settings.masking > 0:
                shape = batch, visible.shape[-1], settings.masking
                drawn = visible_columns(streams, *shape, np.float32, part)
                seen.copy_(torch.as_tensor(drawn))
            if settings.dropout > 0:
                rate, widths = settings.dropout, settings.estimation_widths
                layers = dropout_masks(streams, batch, widths, rate, np.float64, part)
                mask.copy_(torch.as_tensor(np.concatenate(layers, axis=1)).mT)
