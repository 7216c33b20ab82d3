import warnings

import pytest
import torch

from qsnn_plugins.functional import RELEASED_LEVELS
from qsnn_plugins.nn import membrane_quantizer
from qsnn_plugins.spec import MembraneSpec

LEVEL_KINDS = [
    MembraneSpec(),
    MembraneSpec(levels=RELEASED_LEVELS),
    MembraneSpec(gradient="straight_through"),
    MembraneSpec(gradient="clipped_straight_through"),
    MembraneSpec(kind="pruned"),
    MembraneSpec(kind="threshold_centred", bits=4, scale_value=0.8),
]
SCALED_KINDS = [
    MembraneSpec(kind=kind, bits=bits, scale=scale)
    for kind in ("uniform", "tanh")
    for bits in (1, 2, 4, 8)
    for scale in ("fixed", "learned", "running", "step_max")
]
FLOAT_KINDS = [MembraneSpec(kind="float"), MembraneSpec(kind="clip", lower=-2.0)]
PUBLISHED = MembraneSpec(kind="tanh", bits=4, scale="step_max", evaluation="published")


def trained(spec, batches=3):
    """Return a quantizer at evaluation that has seen some training."""
    quantizer = membrane_quantizer(spec)
    generator = torch.Generator().manual_seed(0)
    for _ in range(batches):
        quantizer(torch.randn(6, 5, 4, generator=generator))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return quantizer.eval()


@pytest.mark.parametrize("spec", [*FLOAT_KINDS, *LEVEL_KINDS, *SCALED_KINDS], ids=str)
def test_no_sample_depends_on_its_batch_at_evaluation(spec):
    quantizer = trained(spec)
    u = torch.randn(6, 5, 4) * torch.logspace(-1, 1, 6).reshape(6, 1, 1)
    alone = torch.cat([quantizer(sample[None]) for sample in u])
    assert torch.equal(quantizer(u), alone)


def test_the_published_scale_does_depend_on_the_batch():
    quantizer = trained(PUBLISHED)
    u = torch.randn(6, 5, 4) * torch.logspace(-1, 1, 6).reshape(6, 1, 1)
    assert not torch.equal(quantizer(u), torch.cat([quantizer(sample[None]) for sample in u]))


@pytest.mark.parametrize("spec", [*LEVEL_KINDS, *SCALED_KINDS, PUBLISHED], ids=str)
def test_stored_values_have_few_codes_and_come_back_from_them(spec):
    for quantizer in (trained(spec), trained(spec).train()):
        q = quantizer(torch.randn(9, 200) * 1.5).detach()
        codes = quantizer.encode(q)
        assert codes.codes.max().item() < 2**spec.storage_bits
        assert torch.equal(codes.decode(), q)


@pytest.mark.parametrize("spec", [*FLOAT_KINDS, *LEVEL_KINDS, *SCALED_KINDS], ids=str)
def test_storing_twice_is_storing_once(spec):
    quantizer = trained(spec)
    q = quantizer(torch.randn(9, 200) * 1.5)
    assert torch.equal(quantizer(q), q) or not spec.is_idempotent


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("spec", [*LEVEL_KINDS, *SCALED_KINDS, PUBLISHED], ids=str)
def test_dtype_is_kept(spec, dtype):
    for quantizer in (membrane_quantizer(spec), membrane_quantizer(spec).to(dtype)):
        u = torch.randn(3, 20).to(dtype).requires_grad_()
        q = quantizer(u)
        q.sum().backward()
        assert q.dtype == u.grad.dtype == dtype
        assert torch.equal(quantizer.encode(q.detach()).decode(), q)
