"""Random numbers on the device have the bits of the CPU."""

import numpy as np

from oneglance._rng import Purpose, uniforms


def test_random_numbers_have_the_bits_of_the_cpu(device):
    library = device.library
    positions = np.arange(0, 2**33, 2**16 + 1, dtype=np.int64)
    with library.guard(0):
        items, out = device.put(positions), library.empty(len(positions), "float64", 0)
        library.kernels.philox_uniforms(
            2**40 + 7,
            int(Purpose.POISSON),
            3,
            library.address(items),
            len(positions),
            library.address(out),
            library.stream(0),
        )
    assert np.array_equal(device.get(out), uniforms(2**40 + 7, Purpose.POISSON, positions, draw=3))
