"""G.722 at 64 kbit/s: 16 kHz in two bands, each with its own adaptive predictor (ITU-T G.722, 09/2012).

Names are the recommendation's: `low` and `high` band, quantizer scale `det` and its logarithm `nb`, predictor with six
zeros `b` and two poles `a`. The loops are written out: they run 8000 times a second in Python.
"""

from __future__ import annotations

from array import array

SAMPLE_RATE_HZ = 16000
_QMF = (3, -11, 12, 32, -210, 951, 3876, -805, 362, -156, 53, -11)  # every second tap of the 24 (table 11)
_MIRRORED = _QMF[::-1]
_TAPS = len(_QMF)

# Tables 14 to 21: decision levels, codes, inverse quantizers and the steps of the scale.
_Q6 = (
    0, 35, 72, 110, 150, 190, 233, 276, 323, 370, 422, 473, 530, 587, 650, 714,
    786, 858, 940, 1023, 1121, 1219, 1339, 1458, 1612, 1765, 1980, 2195, 2557, 2919,
)  # fmt: skip
_LOW_NEGATIVE: tuple[int, ...] = (0, 63, 62, *range(31, 3, -1))
_LOW_POSITIVE: tuple[int, ...] = (0, *range(61, 31, -1))
_QM6 = (
    -136, -136, -136, -136, -24808, -21904, -19008, -16704, -14984, -13512, -12280, -11192, -10232, -9360, -8576, -7856,
    -7192, -6576, -6000, -5456, -4944, -4464, -4008, -3576, -3168, -2776, -2400, -2032, -1688, -1360, -1040, -728,
    24808, 21904, 19008, 16704, 14984, 13512, 12280, 11192, 10232, 9360, 8576, 7856, 7192, 6576, 6000, 5456,
    4944, 4464, 4008, 3576, 3168, 2776, 2400, 2032, 1688, 1360, 1040, 728, 432, 136, -432, -136,
)  # fmt: skip
_QM4 = (0, -20456, -12896, -8968, -6288, -4240, -2584, -1200, 20456, 12896, 8968, 6288, 4240, 2584, 1200, 0)
_QM2 = (-7408, -1616, 7408, 1616)
_W_LOW = (-60, 3042, 1198, 538, 334, 172, 58, -30, 3042, 1198, 538, 334, 172, 58, -30, -60)  # by the 4 bit code
_W_HIGH = (798, -214, 798, -214)
_ILB = (
    2048, 2093, 2139, 2186, 2233, 2282, 2332, 2383, 2435, 2489, 2543, 2599, 2656, 2714, 2774, 2834,
    2896, 2960, 3025, 3091, 3158, 3228, 3298, 3371, 3444, 3520, 3597, 3676, 3756, 3838, 3922, 4008,
)  # fmt: skip
_LOW_MAX_NB, _HIGH_MAX_NB = 18432, 22528
_LOW_SHIFT, _HIGH_SHIFT = 8, 10
_HIGH_DECISION = 564


class _Band:
    """The state of one band: scale and predictor (blocks 3 and 4)."""

    def __init__(self, det: int, steps: tuple[int, ...], max_nb: int, shift: int) -> None:
        self.det, self.nb = det, 0
        self.s = 0  # what the predictor expects next
        self._steps, self._max_nb, self._shift = steps, max_nb, shift
        self._sz = 0
        self._a1 = self._a2 = self._r1 = self._r2 = self._p1 = self._p2 = 0
        self._b = [0] * 6
        self._d = [0] * 6

    def adapt(self, d: int, code: int) -> None:
        """The band's quantized difference `d` and its code: adapts the scale and predicts the next sample."""
        nb = (self.nb * 127 >> 7) + self._steps[code]
        self.nb = nb = 0 if nb < 0 else min(nb, self._max_nb)
        exponent = self._shift - (nb >> 11)
        mantissa = _ILB[nb >> 6 & 31]
        self.det = (mantissa >> exponent if exponent >= 0 else mantissa << -exponent) << 2

        r = _clip(self.s + d)
        p = _clip(self._sz + d)
        p1, p2, a1, a2 = self._p1, self._p2, self._a1, self._a2
        doubled = _clip(a1 << 2)
        step = -doubled if (p ^ p1) >= 0 else doubled
        step = min(step, 32767)
        new2 = (128 if (p ^ p2) >= 0 else -128) + (step >> 7) + (a2 * 32512 >> 15)
        new2 = 12288 if new2 > 12288 else max(new2, -12288)
        new1 = (192 if (p ^ p1) >= 0 else -192) + (a1 * 32640 >> 15)
        limit = 15360 - new2
        new1 = limit if new1 > limit else max(new1, -limit)
        self._a1, self._a2, self._p1, self._p2 = new1, new2, p, p1

        gain = 128 if d else 0
        past = self._d
        b = self._b = [
            (one * 32640 >> 15) + (gain if (d ^ before) >= 0 else -gain)
            for one, before in zip(self._b, past, strict=True)
        ]
        past.insert(0, d)
        past.pop()
        r1, r2 = self._r1, self._r2 = r, self._r1
        sp = _clip((new1 * _clip(r1 + r1) >> 15) + (new2 * _clip(r2 + r2) >> 15))
        sz = 0
        for one, before in zip(b, past, strict=True):
            sz += one * _clip(before + before) >> 15
        self._sz = sz = _clip(sz)
        self.s = _clip(sp + sz)


def _clip(value: int) -> int:
    if value > 32767:
        return 32767
    if value < -32768:
        return -32768
    return value


def _low_band() -> _Band:
    return _Band(32, _W_LOW, _LOW_MAX_NB, _LOW_SHIFT)


def _high_band() -> _Band:
    return _Band(8, _W_HIGH, _HIGH_MAX_NB, _HIGH_SHIFT)


class G722:
    """Both directions of one stream: the state of either belongs to one call."""

    rate_hz = SAMPLE_RATE_HZ

    def __init__(self) -> None:
        self._low_out, self._high_out = _low_band(), _high_band()
        self._low_in, self._high_in = _low_band(), _high_band()
        self._sent = [0] * (2 * _TAPS - 2)
        self._sums, self._differences = [0] * (_TAPS - 1), [0] * (_TAPS - 1)

    def encode(self, samples: array[int]) -> bytes:
        """int16 at 16 kHz to bytes, one for two samples."""
        low, high = self._low_out, self._high_out
        line = self._sent + samples.tolist()
        self._sent = line[len(line) - (2 * _TAPS - 2) :]
        even, odd = line[0::2], line[1::2]
        codes = bytearray()
        for at in range(len(samples) // 2):
            second = sum(map(int.__mul__, even[at : at + _TAPS], _QMF))
            first = sum(map(int.__mul__, odd[at : at + _TAPS], _MIRRORED))
            codes.append(_encode_pair(low, high, _clip(first + second >> 14), _clip(first - second >> 14)))
        return bytes(codes)

    def decode(self, payload: bytes) -> array[int]:
        """Bytes to int16 at 16 kHz, two samples of each."""
        low, high = self._low_in, self._high_in
        sums, differences = self._sums, self._differences
        for code in payload:
            low_code, high_code = code & 63, code >> 6
            rebuilt = low.s + (low.det * _QM6[low_code] >> 15)
            rebuilt = 16383 if rebuilt > 16383 else max(rebuilt, -16384)
            low.adapt(low.det * _QM4[low_code >> 2] >> 15, low_code >> 2)
            d = high.det * _QM2[high_code] >> 15
            upper = high.s + d
            upper = 16383 if upper > 16383 else max(upper, -16384)
            high.adapt(d, high_code)
            sums.append(rebuilt + upper)
            differences.append(rebuilt - upper)
        result = array("h", bytes(4 * len(payload)))
        for at in range(len(payload)):
            result[2 * at] = _clip(sum(map(int.__mul__, differences[at : at + _TAPS], _MIRRORED)) >> 11)
            result[2 * at + 1] = _clip(sum(map(int.__mul__, sums[at : at + _TAPS], _QMF)) >> 11)
        self._sums, self._differences = sums[len(payload) :], differences[len(payload) :]
        return result


def _encode_pair(low: _Band, high: _Band, xlow: int, xhigh: int) -> int:
    e = _clip(xlow - low.s)
    size = e if e >= 0 else -(e + 1)
    det = low.det
    # The decision levels rise: count those that `size` has reached.
    first, last = 1, len(_Q6)
    while first < last:
        middle = first + last >> 1
        if size < _Q6[middle] * det >> 12:
            last = middle
        else:
            first = middle + 1
    code = _LOW_NEGATIVE[first] if e < 0 else _LOW_POSITIVE[first]
    low.adapt(det * _QM4[code >> 2] >> 15, code >> 2)

    e = _clip(xhigh - high.s)
    size = e if e >= 0 else -(e + 1)
    outer = size >= _HIGH_DECISION * high.det >> 12
    high_code = (0 if outer else 1) if e < 0 else (2 if outer else 3)
    high.adapt(high.det * _QM2[high_code] >> 15, high_code)
    return high_code << 6 | code
