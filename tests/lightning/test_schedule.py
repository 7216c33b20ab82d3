"""The learning rate epoch by epoch against the closed form."""

import math
from functools import partial

import pytest
import torch

from qsnn_plugins import presets
from qsnn_plugins.errors import ArgumentError, QSNNWarning
from qsnn_plugins.lightning import SpikingClassifier
from qsnn_plugins.lightning.schedule import build_schedule, planned_epochs
from qsnn_plugins.models import StringNet


def rates(epochs, schedule="cosine", rate=0.1, **arguments):
    """Rate of each epoch."""
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=rate)
    scheduler = build_schedule(optimizer, schedule, epochs, **arguments)
    seen = []
    for _ in range(epochs):
        seen.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        if scheduler is not None:
            scheduler.step()
    return seen


def cosine(epoch, cosine_epochs, rate=0.1, least=0.0):
    return least + (rate - least) * (1 + math.cos(math.pi * epoch / cosine_epochs)) / 2


def test_a_single_cosine():
    assert rates(10) == pytest.approx([cosine(e, 10) for e in range(10)])
    least = [cosine(e, 10, least=0.02) for e in range(10)]
    assert rates(10, min_lr=0.02) == pytest.approx(least)


def test_a_cosine_that_turns_as_the_third_papers_does():
    seen = rates(500, rate=1e-3, cosine_epochs=64)
    assert seen == pytest.approx([cosine(e, 64, 1e-3) for e in range(500)], abs=1e-9)
    assert seen[-1] == pytest.approx(0.90e-3, abs=0.01e-3), "it ends near the initial rate"


def test_a_warm_up_rises_in_a_line_and_the_cosine_takes_the_rest():
    seen = rates(12, warmup_epochs=4, min_lr=0.02)
    assert seen[:5] == pytest.approx([0.02, 0.04, 0.06, 0.08, 0.1])
    assert seen[4:] == pytest.approx([cosine(e, 8, least=0.02) for e in range(8)])
    assert rates(4, warmup_epochs=3)[:4] == pytest.approx([0.025, 0.05, 0.075, 0.1])


def test_a_constant_rate_may_warm_up_too():
    assert rates(3, "constant") == [0.1] * 3
    assert rates(5, "constant", warmup_epochs=3) == pytest.approx([0.025, 0.05, 0.075, 0.1, 0.1])


def test_a_warm_up_of_a_constant_rate_reads_the_least():
    assert rates(3, "constant", warmup_epochs=2, min_lr=0.02) == pytest.approx([0.02, 0.06, 0.1])
    arguments = {"schedule": "constant", "warmup_epochs": 2, "min_lr": 0.02}
    assert SpikingClassifier(StringNet("4C3-GAP-FC2"), **arguments).min_lr == 0.02


@pytest.mark.filterwarnings("ignore")
def test_the_classifier_follows_its_schedule(loader, trainer):
    torch.manual_seed(0)
    model = SpikingClassifier(
        StringNet("4C3-GAP-FC2"),
        optimizer=partial(torch.optim.SGD, lr=0.1),
        warmup_epochs=1,
        min_lr=0.02,
        cosine_epochs=4,
    )
    t = trainer(max_epochs=3, enable_checkpointing=False)
    t.fit(model, loader)
    assert t.optimizers[0].param_groups[0]["lr"] == pytest.approx(0.06)  # half-way down


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"warmup_epochs": -1}, "warmup_epochs=-1"),
        ({"min_lr": -0.1}, r"min_lr=-0\.1"),
        ({"cosine_epochs": 0}, "cosine_epochs=0"),
        (
            {"schedule": "constant", "min_lr": 0.1},
            "min_lr=0.1.*None for schedule 'constant'; 'cosine'",
        ),
        ({"schedule": "constant", "cosine_epochs": 9}, "cosine_epochs=9.*'cosine' reads it"),
        ({"weight_decay_on": "none"}, "weight_decay_on='none'.*all, weights"),
    ],
)
def test_a_wrong_argument_is_named(arguments, words):
    with pytest.raises(ArgumentError, match=words):
        SpikingClassifier(StringNet("4C3-GAP-FC2"), **arguments)


def test_one_cycle_rises_and_falls_batch_by_batch():
    seen = rates(10, "one_cycle", warmup_epochs=2, steps=10)
    assert seen[0] == pytest.approx(0.1 / 25)
    assert seen[-1] == pytest.approx(0.1 / 25e4)
    assert max(seen) == seen[1] == pytest.approx(0.1), "the warm-up is a fifth of the batches"
    assert seen[1:] == sorted(seen[1:], reverse=True)
    assert max(rates(10, "one_cycle", steps=10)) == pytest.approx(0.1)


@pytest.mark.parametrize("warmup_epochs", [2, 3])
def test_a_training_of_warm_up_epochs_alone_has_a_last_step(warmup_epochs):
    for steps in (2, 4, 10):
        seen = rates(steps, "one_cycle", warmup_epochs=warmup_epochs * steps // 2, steps=steps)
        assert seen[-1] == pytest.approx(0.1 / 25e4)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("options", "epochs"),
    [
        ({"max_epochs": 3}, 3),
        ({"max_epochs": -1, "max_steps": 7}, 2),
        ({"max_epochs": 9, "max_steps": 7}, 2),
        ({"max_epochs": -1, "max_steps": 7, "accumulate_grad_batches": 2}, 4),
    ],
)
def test_a_schedule_covers_the_epochs_of_a_training(loader, trainer, options, epochs):
    assert len(loader) == 4
    model = SpikingClassifier(
        StringNet("4C3-GAP-FC2", spec=presets.sigmoid_quantizer(weight_bits=2)),
        optimizer=partial(torch.optim.SGD, lr=0.1),
    )
    t = trainer(enable_checkpointing=False, **options)
    t.fit(model, loader)
    (config,) = t.lr_scheduler_configs
    assert config.scheduler.T_max == epochs
    assert planned_epochs(t) == epochs


@pytest.mark.filterwarnings("ignore")
def test_a_least_rate_above_the_rate_is_refused(loader, trainer):
    adam = partial(torch.optim.Adam, lr=0.1)
    model = SpikingClassifier(StringNet("4C3-GAP-FC2"), optimizer=adam, min_lr=0.5)
    with pytest.raises(ArgumentError, match=r"min_lr=0.5 is not allowed: give at most .* 0\.1"):
        trainer(max_epochs=2, enable_checkpointing=False).fit(model, loader)


@pytest.mark.parametrize(("epochs", "warns"), [(2, True), (3, False)])
def test_a_warm_up_that_is_cut_off_warns(loader, trainer, epochs, warns, recwarn):
    model = SpikingClassifier(StringNet("4C3-GAP-FC2"), warmup_epochs=2)
    trainer(max_epochs=epochs, enable_checkpointing=False).fit(model, loader)
    told = [str(each.message) for each in recwarn if each.category is QSNNWarning]
    assert any("the learning rate never reaches" in text for text in told) is warns


def test_a_training_without_an_end_has_no_schedule(loader, trainer):
    t = trainer(max_epochs=-1, max_time={"seconds": 0}, enable_checkpointing=False)
    with pytest.raises(ArgumentError, match=r"max_epochs=-1 .*give trainer\.max_steps"):
        t.fit(SpikingClassifier(StringNet("4C3-GAP-FC2")), loader)
    t.fit(SpikingClassifier(StringNet("4C3-GAP-FC2"), schedule="constant"), loader)


@pytest.mark.filterwarnings("ignore")
def test_one_cycle_covers_the_batches_of_a_training(loader, trainer):
    model = SpikingClassifier(
        StringNet("4C3-GAP-FC2"),
        optimizer=partial(torch.optim.SGD, lr=0.1),
        schedule="one_cycle",
    )
    t = trainer(max_epochs=2, enable_checkpointing=False)
    t.fit(model, loader)
    (config,) = t.lr_scheduler_configs
    assert config.interval == "step"
    assert config.scheduler.total_steps == config.scheduler.last_epoch == 2 * len(loader)


@pytest.mark.parametrize("unread", [{"min_lr": 0.01}, {"cosine_epochs": 3}])
def test_one_cycle_refuses_what_it_does_not_read(unread):
    with pytest.raises(ArgumentError, match="None for schedule 'one_cycle'; 'cosine' reads it"):
        SpikingClassifier(StringNet("4C3-GAP-FC2"), schedule="one_cycle", **unread)
