import copy
from contextlib import nullcontext
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.stats import chisquare, norm

from assigned import CONFIG, configured
from earlyphase.core.images import Images, crop_and_flip, in_turn, shuffled_batches, unaugmented
from earlyphase.core.streams import generator
from earlyphase.core.tasks import (
    Task,
    apply,
    blurred,
    noise_images,
    noisy_labels,
    random_labels,
    relabelled,
    rotation,
    sample_at,
    supervised,
    vertical_flip,
    with_deficit,
)
from earlyphase.errors import InvalidInput
from earlyphase.study.signatures import registered

RELABELLING = (random_labels, relabelled, noisy_labels)
CLEAN_TESTS = [random_labels, noisy_labels, blurred, vertical_flip, relabelled, noise_images]


@pytest.fixture
def images(rng):
    pixels = rng.integers(0, 256, (10, 1, 6, 6), dtype=np.uint8)
    return Images.from_arrays(pixels, np.arange(10), np.zeros(1), np.ones(1), torch.device("cpu"))


def augmented(iteration):
    return partial(crop_and_flip, padding=2, flip=True)


@pytest.mark.parametrize("augmentation_at", [unaugmented, augmented])
def test_a_task_without_a_change_has_the_batches_of_its_training_images(images, augmentation_at):
    task = supervised(Task(images, images, 10), 3)
    batch_at, plain = task.batches(3, 4, augmentation_at), shuffled_batches(images, 3, 4, augmentation_at)
    for iteration in (0, 1, 2, 7):
        for found, wanted in zip(batch_at(iteration), plain(iteration), strict=True):
            assert torch.equal(found, wanted)


def made(rng, count=40, channels=3, height=8, width=8, classes=10):
    """A task of random images; labels are balanced, and an image's first pixel is its number."""
    pixels = rng.integers(0, 256, (2, count, channels, height, width), dtype=np.uint8)
    pixels[:, :, :, 0, 0] = np.arange(count)[:, None]
    mean, std = np.float32([0.4, 0.5, 0.6])[:channels], np.float32([0.2, 0.25, 0.3])[:channels]
    train, test = (
        Images.from_arrays(part, np.arange(count) % classes, mean, std, torch.device("cpu"))
        for part in pixels
    )
    return Task(train, test, classes)


def same(one, other):
    return all(torch.equal(first, second) for first, second in zip(one, other, strict=True))


def batches_of(task, seed=3, augmentation_at=augmented, size=16):
    batch_at = task.batches(seed, size, augmentation_at)
    return [batch_at(iteration) for iteration in range(8)]


@pytest.mark.parametrize("function", CLEAN_TESTS)
def test_test_images_and_labels_stay_clean(rng, function):
    before = made(rng)
    after = function(before, 1)
    assert torch.equal(after.test.pixels, before.test.pixels)
    assert torch.equal(after.test.labels, before.test.labels)
    assert after.classes == before.classes
    changed = [
        not torch.equal(getattr(after.train, part), getattr(before.train, part))
        for part in ("pixels", "labels")
    ]
    assert changed == [function not in RELABELLING, function in RELABELLING]
    assert after.train.pixels.dtype == torch.uint8
    assert after.train.pixels.shape == before.train.pixels.shape


@pytest.mark.parametrize("function", [*CLEAN_TESTS, rotation])
def test_what_is_drawn_depends_on_the_seed_alone(rng, function):
    before = made(rng)
    first, again, other = (batches_of(function(before, seed)) for seed in (1, 1, 2))
    assert all(same(one, two) for one, two in zip(first, again, strict=True))
    if function in (*RELABELLING, rotation):
        assert not same([labels for _, labels in first], [labels for _, labels in other])
    elif function is noise_images:
        assert not torch.equal(first[0][0], other[0][0])


# Labels


def test_permuted_labels_keep_the_sizes_of_classes_and_independent_ones_are_uniform(rng):
    count, classes = 20_000, 10
    train = Images(
        torch.zeros((count, 1, 1, 1), dtype=torch.uint8),
        torch.from_numpy(np.repeat(np.arange(classes), [200, *[2200] * 9])),  # one class is rare
        torch.ones(1),
        torch.zeros(1),
    )
    before = Task(train, train, classes)
    sizes = torch.bincount(train.labels)
    permuted = random_labels(before, 1, drawn="permuted").train.labels
    independent = random_labels(before, 1, drawn="independent").train.labels
    assert torch.equal(torch.bincount(permuted), sizes)
    assert (torch.bincount(independent) - count / classes).abs().max() < 5 * np.sqrt(count * 0.1 * 0.9)
    expected = {"permuted": float(((sizes / count) ** 2).sum()), "independent": 1 / classes}
    for name, labels in (("permuted", permuted), ("independent", independent)):
        kept = (labels == train.labels).double().mean()  # by chance alone
        assert abs(kept - expected[name]) < 5 * np.sqrt(0.1 * 0.9 / count)


@pytest.mark.parametrize("share", [0.2, 0.4, 1.0])
def test_exactly_a_share_of_the_labels_is_wrong_and_each_wrong_class_as_likely(share):
    count, classes = 9_000, 10
    labels = torch.arange(count) % classes
    train = Images(torch.zeros((count, 1, 1, 1), dtype=torch.uint8), labels, torch.ones(1), torch.zeros(1))
    noisy = noisy_labels(Task(train, train, classes), 1, share=share).train.labels
    assert int((noisy != labels).sum()) == round(share * count)
    steps = torch.bincount((noisy - labels) % classes, minlength=classes)[1:].numpy()
    assert chisquare(steps).pvalue > 0.001
    with pytest.raises(InvalidInput, match="a wrong class for an image, and there is 1 only"):
        noisy_labels(Task(train, train, 1), 1)


def test_random_labels_are_those_of_an_image_for_the_whole_training(rng):
    task = random_labels(made(rng), 1)
    given = {}
    for images, labels in batches_of(task, augmentation_at=unaugmented):  # more than two epochs
        pixels = ((images - task.train.shift[:, None, None]) / task.train.scale[:, None, None]).round()
        for number, label in zip(pixels[:, 0, 0, 0].tolist(), labels.tolist(), strict=True):
            assert given.setdefault(number, label) == label
    assert len(given) == 40


@pytest.mark.parametrize("classes", [2, 3, 10])
def test_relabelling_is_one_permutation_of_the_classes_and_leaves_none_in_place(rng, classes):
    before, found = made(rng, classes=classes), set()
    for seed in range(40):
        labels = relabelled(before, seed).train.labels
        pairs = set(zip(before.train.labels.tolist(), labels.tolist(), strict=True))
        assert len(pairs) == classes
        assert {new for _, new in pairs} == set(range(classes))
        assert all(old != new for old, new in pairs)
        found.add(frozenset(pairs))
    assert len(found) == {2: 1, 3: 2}.get(classes, len(found))
    assert classes < 10 or len(found) > 30


def test_a_single_class_cannot_be_exchanged(rng):
    with pytest.raises(InvalidInput, match="there is 1; it needs two"):
        relabelled(made(rng, classes=1), 0)


# Rotation


def test_quarter_turns_are_those_of_numpy_after_crop_and_flip(rng):
    before = made(rng)
    task = rotation(before, 3)
    assert task.classes == 4
    counts = np.zeros(4, int)
    for (images, turns), (upright, _) in zip(batches_of(task), batches_of(before), strict=True):
        for image, turn, as_it_was in zip(images, turns, upright, strict=True):
            assert np.array_equal(image.numpy(), np.rot90(as_it_was.numpy(), int(turn), (1, 2)))
            counts[turn] += 1
    assert (counts > 0).all()


def test_turns_are_drawn_anew_each_time_an_image_is_shown_and_evenly(rng):
    task = rotation(made(rng, height=2, width=2), 0)
    batch_at = task.batches(0, 40, unaugmented)
    batches = [batch_at(epoch) for epoch in range(200)]
    turns = np.array([labels[images[:, 0].sum((1, 2)).argsort()] for images, labels in batches])
    assert np.abs(np.bincount(turns.ravel()) - 2000).max() < 5 * np.sqrt(8000 * 0.25 * 0.75)
    again = (turns[1:] == turns[:-1]).mean(
        axis=0
    )  # the share of epochs that repeat the turn before, by image
    assert np.abs(again - 0.25).max() < 5 * np.sqrt(0.25 * 0.75 / 199)


def test_a_turned_batch_is_the_same_from_any_start(rng):
    task = rotation(made(rng), 3)
    seen = batches_of(task)
    batch_at = task.batches(3, 16, augmented)
    assert all(same(batch_at(iteration), seen[iteration]) for iteration in range(5, 8))


def test_all_four_copies_of_each_image_are_in_a_batch(rng):
    before = made(rng)
    for (images, turns), (upright, _) in zip(
        batches_of(rotation(before, 3, copies="all")), batches_of(before), strict=True
    ):
        assert len(images) == len(turns) == 4 * len(upright)
        for position, (image, turn) in enumerate(zip(images, turns, strict=True)):
            expected = np.rot90(upright[position % len(upright)].numpy(), int(turn), (1, 2))
            assert np.array_equal(image.numpy(), expected)
        assert torch.bincount(turns).tolist() == [len(upright)] * 4


def test_test_images_are_turned_once_by_the_turns_that_are_their_labels(rng):
    before = made(rng)
    for copies in ("drawn", "all"):
        test = rotation(before, 3, copies=copies).test
        assert len(test) == 40
        assert set(test.labels.tolist()) == {0, 1, 2, 3}
        for image, turn, upright in zip(test.pixels, test.labels, before.test.pixels, strict=True):
            assert np.array_equal(image.numpy(), np.rot90(upright.numpy(), int(turn)))
    assert not torch.equal(rotation(before, 4).test.labels, test.labels)


def test_images_that_are_not_square_cannot_be_turned(rng):
    with pytest.raises(InvalidInput, match="square, but they are 6x8 pixels"):
        rotation(made(rng, height=6), 0)


def test_a_turned_batch_lies_in_memory_as_convolutions_prefer(rng):
    images, _ = rotation(made(rng), 3).batches(3, 16, augmented)(0)
    assert images.is_contiguous(memory_format=torch.channels_last)


# Blur


def blurred_by_pil(image, small, size):
    """(H, W) blurred in floating point, by another library."""
    return np.asarray(
        Image.fromarray(image.astype(np.float32), mode="F")
        .resize(small, Image.Resampling.BILINEAR)
        .resize(size, Image.Resampling.BILINEAR)
    )


@pytest.mark.parametrize(("height", "width", "factor"), [(32, 32, 4), (30, 19, 4), (28, 28, 3), (4, 8, 4)])
def test_blur_is_the_bilinear_resizing_of_pil_and_torchvision(rng, height, width, factor):
    before = made(rng, count=6, height=height, width=width)
    small = height // factor, width // factor
    found = blurred(before, 0, factor=factor).train.pixels.permute(0, 3, 1, 2)
    sharp = before.train.pixels.permute(0, 3, 1, 2)
    for image, result in zip(sharp.numpy(), found.numpy(), strict=True):
        for channel, blurry in zip(image, result, strict=True):
            expected = blurred_by_pil(channel, small[::-1], (width, height))
            assert np.abs(blurry - expected).max() < 0.501  # rounded once
    functional = pytest.importorskip("torchvision.transforms.functional")
    resized = functional.resize(functional.resize(sharp.float(), small, antialias=True), (height, width))
    assert (found - resized).abs().max() < 0.501
    as_pil = functional.to_pil_image(sharp[0])
    twice = functional.pil_to_tensor(functional.resize(functional.resize(as_pil, small), (height, width)))
    assert (found[0].int() - twice.int()).abs().max() <= 2  # PIL rounds four times on the way


def test_blur_leaves_an_even_image_and_removes_what_is_fine(rng):
    before = made(rng, count=3, height=16, width=16)
    even = replace(before.train, pixels=torch.full_like(before.train.pixels, 77))
    chequered = (torch.arange(16)[:, None] + torch.arange(16)) % 2 * 200
    fine = replace(before.train, pixels=chequered.to(torch.uint8)[None, :, :, None].expand(3, 16, 16, 3))
    assert (blurred(replace(before, train=even), 0).train.pixels == 77).all()
    inner = blurred(replace(before, train=fine), 0).train.pixels[:, 4:12, 4:12].int()
    assert (inner - 100).abs().max() <= 1


def test_blur_then_turn_is_turn_then_blur(rng):
    entries = [{"function": "blurred", "factor": 4}, {"function": "rotation"}]
    before = made(rng)
    one, other = apply(entries, before, 3), apply(entries[::-1], before, 3)
    for first, second in zip(batches_of(one), batches_of(other), strict=True):
        assert same(first, second)
    assert not same(batches_of(one)[0], batches_of(rotation(before, 3))[0])
    upright = before.train.pixels  # and turning the pixels themselves first makes no difference
    turned = replace(before, train=replace(before.train, pixels=torch.rot90(upright, 1, (1, 2))))
    blurry = torch.rot90(blurred(before, 0).train.pixels, 1, (1, 2))
    assert (blurred(turned, 0).train.pixels.int() - blurry.int()).abs().max() <= 1


def test_images_too_small_to_blur_are_refused(rng):
    assert blurred(made(rng, height=4, width=4), 0, factor=4)
    with pytest.raises(InvalidInput, match="factor of 9, images of 12x8 pixels"):
        blurred(made(rng, height=12), 0, factor=9)


# The other deficits


def test_a_vertical_flip_turns_images_upside_down(rng):
    before = made(rng, height=5)
    assert np.array_equal(vertical_flip(before, 0).train.pixels, before.train.pixels.numpy()[:, ::-1])


def test_noise_has_the_mean_and_standard_deviation_of_the_data_set(rng):
    before = made(rng, count=2100)  # made in parts
    task = noise_images(before, 0)
    images, labels = task.batches(0, 2100, unaugmented)(0)
    mean, std = np.array([0.4, 0.5, 0.6]), np.array([0.2, 0.25, 0.3])
    low, high = -mean / std, (1 - mean) / std  # black and white as normalised: noise is clipped there
    below, above, count = norm.cdf(low), norm.sf(high), images[:, 0].numel()
    first = low * below + high * above + norm.pdf(low) - norm.pdf(high)
    second = (
        low**2 * below + high**2 * above + 1 - below - above + low * norm.pdf(low) - high * norm.pdf(high)
    )
    found = images.double().transpose(0, 1).reshape(3, -1).numpy()
    assert np.abs(found.mean(axis=1) - first).max() < 5 / np.sqrt(count)
    assert np.abs((found**2).mean(axis=1) - second).max() < 10 / np.sqrt(count)
    halves = task.train.pixels.double()[:, :, :, 0].reshape(2100, -1)
    assert abs(np.corrcoef(halves[:1000].ravel(), halves[1000:2000].ravel())[0, 1]) < 5 / np.sqrt(64_000)
    assert torch.equal(task.train.labels, before.train.labels)
    assert torch.equal(labels.sort().values, before.train.labels.sort().values)


# In turn


def test_a_part_is_followed_from_its_first_iteration_on():
    def part(name):
        return lambda iteration: (name, iteration)

    batch_at = in_turn((2, part("a")), (5, part("b")), (5, part("c")), (9, part("d")))
    assert [batch_at(i) for i in range(2, 11)] == list(zip("aaaccccdd", range(2, 11), strict=True))
    with pytest.raises(ValueError, match="iteration 1 comes before the first part, at 2"):
        batch_at(1)
    for parts in ((), ((5, part("a")), (4, part("b")))):
        with pytest.raises(ValueError, match="must follow one another"):
            in_turn(*parts)


@pytest.mark.parametrize("window", [range(2, 5), range(3), range(7, 20), range(4, 4), range(50)])
def test_a_deficit_is_active_exactly_in_its_window(rng, window):
    clean = made(rng)
    harmful = noise_images(clean, 3)
    task = with_deficit(clean, harmful, window)
    batches = zip(batches_of(task), batches_of(clean), batches_of(harmful), strict=True)
    for iteration, (found, clean_one, harmful_one) in enumerate(batches):
        expected, other = (harmful_one, clean_one) if iteration in window else (clean_one, harmful_one)
        assert same(found, expected)
        assert not same(found, other)
    assert task.test is clean.test


def test_deficits_in_two_windows_and_on_a_task_that_changes_batches(rng):
    clean = rotation(made(rng), 3)
    blurry = apply([{"function": "blurred"}, {"function": "rotation"}], made(rng), 3)
    task = with_deficit(with_deficit(clean, blurry, range(1, 3)), noise_images(clean, 3), range(5, 6))
    wanted = [clean, blurry, blurry, clean, clean, noise_images(clean, 3), clean, clean]
    for iteration, (found, expected) in enumerate(zip(batches_of(task), wanted, strict=True)):
        assert same(found, batches_of(expected)[iteration])


def test_a_deficit_with_other_classes_is_refused(rng):
    clean = made(rng)
    with pytest.raises(InvalidInput, match="a deficit has 4 classes where the task has 10"):
        with_deficit(clean, rotation(clean, 0), range(2))


# In the configuration


def study(task, dataset="photo_digits", **sections):
    config = copy.deepcopy(CONFIG)
    config["runs"] = [{"dataset": dataset, "model": "resnet8", "task": task}]
    for name, entries in sections.items():
        config[name] |= entries
    return configured(config)


@pytest.mark.parametrize("name", CONFIG["tasks"])
def test_every_configured_task_can_be_learnt(rng, name):
    entries = CONFIG["tasks"][name]
    task = apply(entries if isinstance(entries, list) else [entries], made(rng, height=16, width=16), 0)
    images, labels = task.batches(0, 16, augmented)(0)
    assert images.shape[1:] == (3, 16, 16)
    assert 0 <= labels.min() <= labels.max() < task.classes
    assert task.test.labels.max() < task.classes


@pytest.mark.parametrize(
    ("entry", "dataset", "message"),
    [
        ([{"function": "blurred", "factor": 9}, {"function": "rotation"}], "digits", "factor of blurred is 9, .* 8x8 pixels; it must not be above 8"),
        ({"function": "blurred", "factor": 17}, "photo_digits", "task mine on photo_digits: factor of blurred is 17"),
        ({"function": "blurred", "factor": 1}, "photo_digits", "tasks.mine.factor is 1"),
        ([{"function": "blurred"}, {"function": "rotation", "copies": "five"}], "photo_digits", "tasks.mine.copies is 'five'"),
        ([{"function": "blured"}], "photo_digits", "'blured', which is not registered in tasks, did you mean 'blurred'"),
        ([], "photo_digits", r"tasks.mine is \[\]"),
    ],
)  # fmt: skip
def test_a_task_that_cannot_be_is_refused_at_the_start(entry, dataset, message):
    with pytest.raises(InvalidInput, match=message):
        study("mine", dataset, tasks={"mine": entry})


def test_turning_images_that_are_known_not_to_be_square_is_refused_at_the_start(monkeypatch):
    described = registered("datasets")
    known = described["photo_digits"]
    for size, refused in (({}, False), ({"height": 12}, True), ({"height": 12, "width": 12}, False)):
        monkeypatch.setitem(described, "photo_digits", replace(known, facts=known.facts | size))
        problem = pytest.raises(InvalidInput, match="rotation needs square images, but they are 12x8 pixels")
        with problem if refused else nullcontext():
            study("rotation")


# Samples to measure on


def drawn(task, size, seed, iteration):
    return sample_at(task, size, iteration, generator(seed, "sample"))


def test_a_sample_is_of_the_training_images_chosen_for_good_by_the_stream(rng):
    task = made(rng)
    images, labels = drawn(task, 12, 1, 0)
    whole = task.train.normalise(task.train.pixels)
    places = [int((whole == image).all(dim=(1, 2, 3)).nonzero()[0, 0]) for image in images]
    assert len(set(places)) == 12
    assert places == sorted(places)
    assert torch.equal(labels, task.train.labels[places])
    assert same(drawn(task, 12, 1, 7), (images, labels))
    assert not same(drawn(task, 12, 2, 0), (images, labels))


@pytest.mark.parametrize("size", [0, 41])
def test_a_sample_larger_than_the_set_is_refused(rng, size):
    with pytest.raises(InvalidInput, match=f"sample of {size} images: the training set has 40"):
        drawn(made(rng), size, 1, 0)


def test_a_sample_is_seen_as_the_network_sees_it_at_the_time(rng):
    upright = made(rng)
    plain, _ = drawn(upright, 12, 1, 3)
    images, turns = drawn(rotation(upright, 1), 12, 1, 3)
    for image, turn, as_it_was in zip(images, turns, plain, strict=True):
        assert np.array_equal(image.numpy(), np.rot90(as_it_was.numpy(), int(turn), (1, 2)))
    harmful = noise_images(upright, 1)
    task = with_deficit(upright, harmful, range(2, 5))
    for iteration in range(7):
        expected = drawn(harmful if iteration in range(2, 5) else upright, 12, 1, iteration)
        assert same(drawn(task, 12, 1, iteration), expected)
    whole = drawn(harmful, 40, 1, 0)[0].flatten(1).sum(dim=1)
    shown = harmful.batches(1, 40, unaugmented)(0)[0].flatten(1).sum(dim=1)
    assert torch.equal(whole.sort().values, shown.sort().values)
