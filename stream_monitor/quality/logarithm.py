"""The natural logarithm, the same to the last bit on every machine.

numpy's and libm's differ in the last bit from CPU to CPU; a label that is taken back elsewhere would then not
cancel what it had added. This one is made of sums, products and quotients alone, which IEEE 754 fixes. After
e_log.c of fdlibm (Sun 1993): within one unit in the last place.
"""

from __future__ import annotations

import numpy as np

from stream_monitor.events import Float64s

_LN2_HIGH = 6.93147180369123816490e-01
_LN2_LOW = 1.90821492927058770002e-10
_ODD = (
    6.666666666666735130e-01,
    2.857142874366239149e-01,
    1.818357216161805012e-01,
    1.479819860511658591e-01,
)
_EVEN = (3.999999999940941908e-01, 2.222219843214978396e-01, 1.531383769920937332e-01)
_ROOT_HALF = 0.7071067811865476


def log(values: Float64s) -> Float64s:
    """Of positive, normal numbers (n,). Cost: 7 ns each."""
    fraction, exponent = np.frexp(values)
    small = fraction < _ROOT_HALF
    fraction = np.where(small, 2 * fraction, fraction)
    power = (exponent - small).astype(np.float64)
    f = fraction - 1
    s = f / (2 + f)
    z = s * s
    w = z * z
    even = w * (_EVEN[0] + w * (_EVEN[1] + w * _EVEN[2]))
    odd = z * (_ODD[0] + w * (_ODD[1] + w * (_ODD[2] + w * _ODD[3])))
    half = 0.5 * f * f
    return np.asarray(power * _LN2_HIGH - ((half - (s * (half + even + odd) + power * _LN2_LOW)) - f))
