"""The CUDA module gives the numbers of the CPU. Needs a build with -DONEGLANCE_CUDA=ON, a card and torch."""

import numpy as np
import pytest

from oneglance._rng import Purpose, uniforms

_cuda = pytest.importorskip("oneglance._cuda", reason="built without -DONEGLANCE_CUDA=ON")
if _cuda.device_count() == 0:
    pytest.skip("no CUDA device on this machine", allow_module_level=True)


def test_random_numbers_have_the_bits_of_the_cpu():
    torch = pytest.importorskip("torch")
    items = torch.arange(0, 2**33, 2**13 + 1, dtype=torch.int64, device="cuda")
    out = torch.empty(len(items), dtype=torch.float64, device="cuda")
    stream = torch.cuda.current_stream().cuda_stream
    _cuda.philox_uniforms(2**40 + 7, int(Purpose.POISSON), 3, items.data_ptr(), len(items), out.data_ptr(), stream)
    assert np.array_equal(out.cpu().numpy(), uniforms(2**40 + 7, Purpose.POISSON, items.cpu().numpy(), draw=3))
