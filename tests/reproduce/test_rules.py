"""Rules against the papers' equations in plain numbers, written from the networks' layer lists."""

import math

import pytest

from qsnn_plugins.reproduce import Standing

# (kernel, inputs, outputs, side of the output map) of every convolution, shortcuts among them
RESNET19 = [
    *[(3, 3, 64, 32), (3, 64, 128, 32), (3, 128, 128, 32), (1, 64, 128, 32)],
    *[(3, 128, 128, 32)] * 4,
    *[(3, 128, 256, 16), (3, 256, 256, 16), (1, 128, 256, 16)],
    *[(3, 256, 256, 16)] * 4,
    *[(3, 256, 512, 8), (3, 512, 512, 8), (1, 256, 512, 8)],
    *[(3, 512, 512, 8)] * 2,
]
VGG9 = [
    *[(3, 2, 64, 48), (3, 64, 128, 48), (3, 128, 256, 24), (3, 256, 256, 24)],
    *[(3, 256, 512, 12), (3, 512, 512, 12), (3, 512, 1024, 6)],
]


def weights(layers):
    return sum(k * k * i * o for k, i, o, _ in layers)


def neurons(layers):
    """A block's two branches are added before one layer of neurons."""
    return sum(o * side**2 for k, _, o, side in layers if k == 3)


def macs(layers):
    return sum(k * k * i * o * side**2 for k, i, o, side in layers)


def only(cells):
    (cell,) = cells
    return cell.computed


@pytest.mark.parametrize(("row", "bits"), [("W32 U32", 32), ("W4 U1.5", 4), ("W2 U1.5", 2)])
def test_imsnn_weights_and_membranes(row, bits, find):
    row = f"CIFAR-10, this work, ResNet-19, {row}"
    assert only(find("imsnn", "V", "weight_memory", row=row)) == pytest.approx(
        weights(RESNET19) * bits / 8e6
    )
    assert only(find("imsnn", "V", "membrane_memory", row=row)) == pytest.approx(
        neurons(RESNET19) * (32 if bits == 32 else 1.5) / 8e6
    )


def test_imsnn_membranes_but_the_last(find):
    """TET's ResNet-19 over 48 x 48: maps of 9/4 as many places."""
    expected = (neurons(RESNET19) * 9 / 4 - 512 * 12 * 12) * 4 / 1e6
    assert only(find("imsnn", "VI", "membrane_memory", row="tdBN")) == pytest.approx(expected)


def test_imsnn_resnet18(find):
    """All parameters, and a bias for each channel of a convolution."""
    widths = [64] * 4 + [128] * 4 + [256] * 4 + [512] * 4
    count = 9 * 3 * 64 + sum(9 * i * o for i, o in zip([64, *widths], widths, strict=False))
    count += 64 * 128 + 128 * 256 + 256 * 512
    count += 3 * (64 + sum(widths) + 128 + 256 + 512) + 512 * 10 + 10
    assert count == 11_178_762
    found = [c for t in ("V", "VI") for c in find("imsnn", t, "weight_memory", row="ResNet-18")]
    assert [cell.computed for cell in found] == [pytest.approx(4 * count / 1e6)] * 4


def test_qsnn_size_against_mint(find):
    """MINT: convolutions of 2 bits; linear layers, biases and normalization in 32."""
    channels = 64 + 128 * 7 + 256 * 7 + 512 * 5
    floats = 2 * channels + 512 * 256 + 256 + 256 * 10 + 10
    expected = (weights(RESNET19) / 4 + 4 * floats) / 1e6
    assert only(find("qsnn", "fig3", "model_size", row="MINT")) == pytest.approx(expected)
    saved = 100 * (1 - 1.62 / round(expected, 2))
    assert only(find("qsnn", "fig3", "model_size_reduction")) == pytest.approx(saved)


@pytest.mark.parametrize(("bits", "printed"), [(4, "7.49"), (2, "3.87")])
def test_imsnn_totals_of_resnet19(bits, printed, find):
    """Outputs have as many bits as a weight and a membrane together; all is cut to hundredths."""
    membranes = math.floor(100 * neurons(RESNET19) * 1.5 / 8e6)
    total = math.floor(100 * weights(RESNET19) * bits / 8e6) + (1 + bits) * membranes
    found = find("imsnn", "V", "total_memory", row=f"ResNet-19, W{bits} U1.5")
    assert [cell.computed for cell in found] == [pytest.approx(total / 100)] * len(found) != []
    assert f"{total / 100:.2f}" == printed


def test_imsnn_events(find):
    row = "DVS-CIFAR10, this work, VGG-9, W2 U1.5"
    count = weights(VGG9) + 64 + 128 + 2 * 256 + 2 * 512 + 1024 + 1024 * 1025 + 1025 * 10
    assert only(find("imsnn", "VI", "weight_memory", row=row)) == pytest.approx(count / 4e6)
    assert only(find("imsnn", "VI", "membrane_memory", row=row)) == pytest.approx(
        neurons(VGG9) * 2 / 8e6
    )
    total = math.floor(100 * count / 4e6) + 5 * math.floor(100 * neurons(VGG9) / 4e6)
    assert only(find("imsnn", "VI", "total_memory", row=row)) == pytest.approx(total / 100)


@pytest.mark.parametrize("batch", [1, 64, 256])
@pytest.mark.parametrize("bits", [8, 4, 2])
def test_qsnn_memory(batch, bits, find):
    """Q-SNN's ResNet-19 begins with 128 channels: its first block has no shortcut convolution."""
    hidden = weights(RESNET19) - 3 * 9 * 64 - 64 * 128 * 9 - 64 * 128 + 128 * 128 * 9
    ends = 3 * 9 * 128 + 512 * 10
    channels = 128 * 7 + 256 * 7 + 512 * 5
    fixed = hidden / 8 + ends + 4 * (2 * channels + 10)
    expected = fixed + batch * 128 * 32 * 32 * bits / 8
    found = only(find("qsnn", "2", "resnet19", row=f"batch {batch}, 1w-{bits}u"))
    assert found == pytest.approx(expected / 1e6)
    float_size = 4 * (hidden + ends + 2 * channels + 10 + batch * 128 * 32 * 32)
    saved = 100 * (1 - round(expected / 1e6, 2) / round(float_size / 1e6, 2))
    row = f"batch {batch}, 1w-{bits}u"
    assert only(find("qsnn", "2", "resnet19_reduction", row=row)) == pytest.approx(saved)


@pytest.mark.parametrize(
    ("dataset", "flat", "outputs"),
    [("CIFAR10-DVS", 16, 100), ("DVS128 Gesture", 16, 110), ("N-Caltech101", 35, 1010)],
)
@pytest.mark.parametrize("bits", [1, 32])
def test_sigmoid_quantizer_sizes(dataset, flat, outputs, bits, find):
    count = 9 * 128 * (2 + 4 * 128) + 128 * flat * 512 + 512 * outputs
    expected = (count * bits / 8 + 5 * 2 * 128 * 4) / 2**20
    row = f"{dataset}, this work, {bits}-bit"
    assert only(find("sigmoid_quantizer", "III", "model_size", row=row)) == pytest.approx(expected)


def spikformer_macs(blocks, width, attention):
    """Patches of 4 x 4 of a 32 x 32 image: two convolutions at full size, then 16 and 8."""
    shapes = [(3, 8, 32), (8, 4, 32), (4, 2, 32), (2, 1, 16), (1, 1, 8)]
    patches = sum(
        9 * (i if i == 3 else width // i) * (width // o) * side**2 for i, o, side in shapes
    )
    each = 2 * 4 * width**2 + (4 * width**2 if attention else 0)
    return patches + blocks * each * 64 + width * 10


@pytest.mark.parametrize(
    ("row", "weight_bits", "spike_bits", "time_steps"),
    [("1/1/1", 1, 1, 1), ("4/4/1", 4, 4, 1), ("8/1/2", 8, 1, 2), ("4/1/4", 4, 1, 4)],
)
def test_bit_budget_effort(row, weight_bits, spike_bits, time_steps, find):
    count = spikformer_macs(4, 384, attention=time_steps == 4)
    expected = count * weight_bits * spike_bits * time_steps / 1e9
    assert only(find("bit_budget", "2", "sace", row=row)) == pytest.approx(expected)


def test_bit_budget_of_residual_networks(find):
    without_shortcuts = [layer for layer in RESNET19 if layer[0] == 3]
    expected = (macs(without_shortcuts) + 512 * 256 + 256 * 10) * 16 * 2 * 6 / 1e9
    row = "Burst [32], ResNet-19, 16/2/6"
    assert only(find("bit_budget", "5", "sace", row=row)) == pytest.approx(expected)


def test_what_a_trained_mask_saves_is_not_computed(find):
    """No sparsity is printed but the one that the printed reductions are turned round from."""
    found = [
        *(cell for n in "789" for cell in find("spquant", n, "operation_reduction")),
        *find("imsnn", "III", "operations"),
    ]
    trained = [cell for cell in found if "SpQuant" in cell.row or "masked" in cell.row]
    assert [cell.printed for cell in trained] == [
        *("5.0", "5", "5.1", "5.1", "4", "4", "4.7", "15.72", "7.74", "7.74")
    ]
    assert {cell.standing for cell in trained} == {Standing.UNMEASURED}
    assert all(cell.computed is not None for cell in found if cell not in trained)
