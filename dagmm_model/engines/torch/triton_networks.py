"""The networks of some rows in one kernel, forward and backward, in Triton.

A program holds 16 rows in registers through all layers; the weights come from the cache. What the
backward kernel needs of the forward one it computes again: that takes less than reading it. Widths
are padded to powers of two, with zeros. The equations are those of `dagmm_model.networks`.

A network is some tuples that are known when a kernel is compiled, an entry for each layer: widths
`IN` and `OUT`, padded ones `PIN` and `POUT`, and `AT`, where the layer's weight ``(in, out)``, with
its bias behind it, lies in the row of all parameters. First come the encoder's `E` layers, then the
decoder's as many, then the estimation network's, up to `LAYERS`; `BEFORE` has, for these, how many
units with dropout there are before what the layer is given.
"""

# mypy: ignore-errors

import triton
import triton.language as tl

from dagmm_model.networks.compression import LOG_FLOOR, SQUARE_FLOOR

ROWS = 16
"""Rows of a program, the least that Triton multiplies."""

_SQUARE_FLOOR, _LOG_FLOOR = tl.constexpr(SQUARE_FLOOR), tl.constexpr(LOG_FLOOR)


@triton.jit
def forward(
    x, order, position, flat, masks, z, gamma, error, n, S,
    IN: tl.constexpr, OUT: tl.constexpr, PIN: tl.constexpr, POUT: tl.constexpr, AT: tl.constexpr,
    BEFORE: tl.constexpr, LAYERS: tl.constexpr, SIZE: tl.constexpr, E: tl.constexpr,
    KIND: tl.constexpr, UNITS: tl.constexpr, R: tl.constexpr,
):  # fmt: skip
    """Latent rows ``(S, n, L)``, memberships ``(S, n, K)`` and squared errors ``(S, n)``, float64.

    Args:
        x: ``(m, D)`` all rows.
        order: ``(steps, S, n)`` of which rows the steps are.
        position: ``(1,)`` which step it is.
        flat: ``(S, SIZE)`` parameters.
        masks: ``(steps, S, n, UNITS)`` dropout factors; not read where UNITS is 0.
    """
    s, rows, inside, step = _place(position, n, S, R)
    mine = flat + s * SIZE
    h = _read(x, order, step, rows, inside, n, IN[0], PIN[0])
    encoded = _layers(h, mine, IN, OUT, PIN, POUT, AT, 0, E)
    decoded = _layers(encoded[E], mine, IN, OUT, PIN, POUT, AT, E, 2 * E)
    latent, off, _1, _2, _3, _4 = _features(
        h, decoded[E], encoded[E], OUT[E - 1], POUT[E - 1], IN[0], KIND
    )
    here = step * n + rows
    _, logits = _memberships(
        latent, mine, masks, here, inside, IN, OUT, PIN, POUT, AT, BEFORE, LAYERS, 2 * E, UNITS
    )
    L: tl.constexpr = IN[2 * E]
    K: tl.constexpr = OUT[LAYERS - 1]
    at = (s * n + rows)[:, None]
    column = tl.arange(0, PIN[2 * E])[None, :]
    tl.store(z + at * L + column, latent.to(tl.float64), mask=inside[:, None] & (column < L))
    component = tl.arange(0, POUT[LAYERS - 1])[None, :]
    shares = _softmax(logits, component < K)
    tl.store(gamma + at * K + component, shares, mask=inside[:, None] & (component < K))
    tl.store(error + s * n + rows, off.to(tl.float64), mask=inside)


@triton.jit
def backward(
    x, order, position, flat, masks, share, d_z, d_gamma, gradient, n, S, scale: tl.constexpr,
    IN: tl.constexpr, OUT: tl.constexpr, PIN: tl.constexpr, POUT: tl.constexpr, AT: tl.constexpr,
    BEFORE: tl.constexpr, LAYERS: tl.constexpr, SIZE: tl.constexpr, E: tl.constexpr,
    KIND: tl.constexpr, UNITS: tl.constexpr, R: tl.constexpr,
):  # fmt: skip
    """Gradients ``(S, tiles, SIZE)`` by the parameters: the parts of R rows each.

    Args:
        share: ``(S, n)`` float64, shares of the rows in the weight of the batch.
        d_z: ``(S, n, L)`` float64, the mixture's gradient by the latent rows.
        d_gamma: ``(S, n, K)`` float64, by the memberships.
        scale: weight of a row's squared error in the objective, beside its share.
    """
    s, rows, inside, step = _place(position, n, S, R)
    mine = flat + s * SIZE
    h = _read(x, order, step, rows, inside, n, IN[0], PIN[0])
    encoded = _layers(h, mine, IN, OUT, PIN, POUT, AT, 0, E)
    decoded = _layers(encoded[E], mine, IN, OUT, PIN, POUT, AT, E, 2 * E)
    C: tl.constexpr = OUT[E - 1]
    latent, off, square, square_hat, dot, first = _features(
        h, decoded[E], encoded[E], C, POUT[E - 1], IN[0], KIND
    )
    here = step * n + rows
    hidden, logits = _memberships(
        latent, mine, masks, here, inside, IN, OUT, PIN, POUT, AT, BEFORE, LAYERS, 2 * E, UNITS
    )
    L: tl.constexpr = IN[2 * E]
    K: tl.constexpr = OUT[LAYERS - 1]
    at = (s * n + rows)[:, None]
    part = gradient + (s * tl.num_programs(0) + tl.program_id(0)) * SIZE
    # The softmax, in float64 as the mixture is.
    component = tl.arange(0, POUT[LAYERS - 1])[None, :]
    shares = _softmax(logits, component < K)
    by_gamma = tl.load(
        d_gamma + at * K + component, mask=inside[:, None] & (component < K), other=0.0
    )
    inner = tl.sum(by_gamma * shares, axis=1)[:, None]
    delta = (shares * (by_gamma - inner)).to(tl.float32)
    # The estimation network: `hidden` has what each layer was given, before dropout.
    for i in tl.static_range(LAYERS - 1, 2 * E - 1, -1):
        given = hidden[i - 2 * E]
        if i > 2 * E:
            kept = _kept(masks, here, inside, IN[i], PIN[i], BEFORE[i], UNITS)
            _store(part, given * kept, delta, IN[i], OUT[i], PIN[i], POUT[i], AT[i])
            back = _back(delta, mine, IN[i], OUT[i], PIN[i], POUT[i], AT[i])
            delta = back * kept * (1.0 - given * given)
        else:
            _store(part, given, delta, IN[i], OUT[i], PIN[i], POUT[i], AT[i])
            delta = _back(delta, mine, IN[i], OUT[i], PIN[i], POUT[i], AT[i])
    column = tl.arange(0, PIN[2 * E])[None, :]
    by_z = tl.load(d_z + at * L + column, mask=inside[:, None] & (column < L), other=0.0)
    by_latent = delta + by_z.to(tl.float32)
    # The features and the squared error, by the reconstruction.
    weight = tl.load(share + s * n + rows, mask=inside, other=0.0).to(tl.float32)
    by_first = tl.sum(tl.where(column == C, by_latent, 0.0), axis=1)
    by_second = tl.sum(tl.where(column == C + 1, by_latent, 0.0), axis=1)
    by_error = 2.0 * scale * weight
    along_x, along_hat = tl.zeros_like(weight), tl.zeros_like(weight)
    if KIND == "paper":
        by_error += tl.where(off > _SQUARE_FLOOR, by_first / (first * square), 0.0)
        by_cosine = by_second
    else:
        by_error += 2.0 * by_first / (off + _LOG_FLOOR * IN[0])
        by_cosine = by_second
    if KIND != "log_error":
        norm = tl.sqrt(tl.maximum(square_hat, _SQUARE_FLOOR))
        along_x = by_cosine / (tl.sqrt(square) * norm)
        along_hat = tl.where(
            square_hat > _SQUARE_FLOOR,
            -by_cosine * dot / (tl.sqrt(square) * norm * norm * norm),
            0.0,
        )
    hat = decoded[E]
    delta = by_error[:, None] * (hat - h) + along_x[:, None] * h + along_hat[:, None] * hat
    for i in tl.static_range(2 * E - 1, E - 1, -1):
        given = decoded[i - E]
        _store(part, given, delta, IN[i], OUT[i], PIN[i], POUT[i], AT[i])
        delta = _back(delta, mine, IN[i], OUT[i], PIN[i], POUT[i], AT[i])
        if i > E:
            delta = delta * (1.0 - given * given)
    code = tl.arange(0, POUT[E - 1])[None, :]
    delta += tl.where(code < C, by_latent, 0.0)
    for i in tl.static_range(E - 1, -1, -1):
        given = encoded[i]
        _store(part, given, delta, IN[i], OUT[i], PIN[i], POUT[i], AT[i])
        if i > 0:
            delta = _back(delta, mine, IN[i], OUT[i], PIN[i], POUT[i], AT[i])
            delta = delta * (1.0 - given * given)


@triton.jit
def _place(position, n, S, R: tl.constexpr):
    """Member, its rows in the batch, which of them there are, and the step's place in a table."""
    s = tl.program_id(1)
    rows = tl.program_id(0) * R + tl.arange(0, R)
    return s, rows, rows < n, tl.load(position) * S + s


@triton.jit
def _read(x, order, step, rows, inside, n, D: tl.constexpr, PAD: tl.constexpr):
    index = tl.load(order + step * n + rows, mask=inside, other=0).to(tl.int64)
    column = tl.arange(0, PAD)[None, :]
    return tl.load(x + index[:, None] * D + column, mask=inside[:, None] & (column < D), other=0.0)


@triton.jit
def _weight(mine, I: tl.constexpr, O: tl.constexpr, PI: tl.constexpr, PO: tl.constexpr, A: tl.constexpr):  # fmt: skip
    i, o = tl.arange(0, PI)[:, None], tl.arange(0, PO)[None, :]
    return tl.load(mine + A + i * O + o, mask=(i < I) & (o < O), other=0.0)


@triton.jit
def _dense(h, mine, I: tl.constexpr, O: tl.constexpr, PI: tl.constexpr, PO: tl.constexpr, A: tl.constexpr):  # fmt: skip
    o = tl.arange(0, PO)
    bias = tl.load(mine + A + I * O + o, mask=o < O, other=0.0)
    return tl.dot(h, _weight(mine, I, O, PI, PO, A), input_precision="ieee") + bias[None, :]


@triton.jit
def _back(delta, mine, I: tl.constexpr, O: tl.constexpr, PI: tl.constexpr, PO: tl.constexpr, A: tl.constexpr):  # fmt: skip
    return tl.dot(delta, tl.trans(_weight(mine, I, O, PI, PO, A)), input_precision="ieee")


@triton.jit
def _store(part, given, delta, I: tl.constexpr, O: tl.constexpr, PI: tl.constexpr, PO: tl.constexpr, A: tl.constexpr):  # fmt: skip
    """A layer's gradient: by the weight, and by the bias behind it."""
    i, o = tl.arange(0, PI)[:, None], tl.arange(0, PO)
    by_weight = tl.dot(tl.trans(given), delta, input_precision="ieee")
    tl.store(part + A + i * O + o[None, :], by_weight, mask=(i < I) & (o[None, :] < O))
    tl.store(part + A + I * O + o, tl.sum(delta, axis=0), mask=o < O)


@triton.jit
def _tanh(x):
    small = tl.exp(-2.0 * tl.abs(x))
    value = (1.0 - small) / (1.0 + small)
    return tl.where(x < 0, -value, value)


@triton.jit
def _layers(h, mine, IN: tl.constexpr, OUT: tl.constexpr, PIN: tl.constexpr, POUT: tl.constexpr, AT: tl.constexpr, FIRST: tl.constexpr, END: tl.constexpr):  # fmt: skip
    """What each layer is given, and what the last one gives."""
    every = (h,)
    for i in tl.static_range(FIRST, END):
        h = _dense(h, mine, IN[i], OUT[i], PIN[i], POUT[i], AT[i])
        if i < END - 1:
            h = _tanh(h)
        every = every + (h,)
    return every


@triton.jit
def _kept(masks, here, inside, I: tl.constexpr, PI: tl.constexpr, BEFORE: tl.constexpr, UNITS: tl.constexpr):  # fmt: skip
    """Dropout factors of what a layer is given, which lie behind those of the layers before."""
    unit = tl.arange(0, PI)[None, :]
    there = inside[:, None] & (unit < I)
    if UNITS == 0:
        kept = tl.where(there, 1.0, 0.0)
    else:
        kept = tl.load(masks + here[:, None] * UNITS + BEFORE + unit, mask=there, other=0.0)
    return kept


@triton.jit
def _memberships(latent, mine, masks, here, inside, IN: tl.constexpr, OUT: tl.constexpr, PIN: tl.constexpr, POUT: tl.constexpr, AT: tl.constexpr, BEFORE: tl.constexpr, LAYERS: tl.constexpr, FIRST: tl.constexpr, UNITS: tl.constexpr):  # fmt: skip
    """What each layer of the estimation network is given, before dropout, and the logits."""
    every, h = (latent,), latent
    for i in tl.static_range(FIRST, LAYERS):
        if i > FIRST:
            h = h * _kept(masks, here, inside, IN[i], PIN[i], BEFORE[i], UNITS)
        h = _dense(h, mine, IN[i], OUT[i], PIN[i], POUT[i], AT[i])
        if i < LAYERS - 1:
            h = _tanh(h)
            every = every + (h,)
    return every, h


@triton.jit
def _softmax(logits, there):
    double = tl.where(there, logits.to(tl.float64), float("-inf"))
    power = tl.exp(double - tl.max(double, axis=1)[:, None])
    return power / tl.sum(power, axis=1)[:, None]


@triton.jit
def _features(x, hat, code, C: tl.constexpr, PAD: tl.constexpr, D: tl.constexpr, KIND: tl.constexpr):  # fmt: skip
    """Latent rows and what their gradient needs: see `compression.reconstruction_features`."""
    off = tl.sum((x - hat) * (x - hat), axis=1)
    square = tl.sum(x * x, axis=1)
    square = tl.where(square > _SQUARE_FLOOR, square, 1.0)
    square_hat = tl.sum(hat * hat, axis=1)
    dot = tl.sum(x * hat, axis=1)
    norm = tl.sqrt(tl.maximum(square_hat, _SQUARE_FLOOR))
    second = dot / (tl.sqrt(square) * norm)
    if KIND == "paper":
        first = tl.sqrt(tl.maximum(off, _SQUARE_FLOOR) / square)
    else:
        first = tl.log(off + _LOG_FLOOR * D)
    column = tl.arange(0, PAD)[None, :]
    latent = tl.where(column < C, code, 0.0) + tl.where(column == C, first[:, None], 0.0)
    if KIND != "log_error":
        latent += tl.where(column == C + 1, second[:, None], 0.0)
    return latent, off, square, square_hat, dot, first
