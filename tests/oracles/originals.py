"""What the published systems' own libraries give on a small network: makes ``originals.json``.

    python tests/oracles/originals.py

Run by hand, with TensorFlow (2.21 and its Keras 3 were used), SciPy and torch installed; the tests read the
numbers. Each system is written with the calls that its source uses (``keras.layers``, ``tf.einsum``,
``tf.image.total_variation``, ``tf.nn.l2_loss``, ``keras.optimizers``; torch's for those that are written in
Torch), not with those of specstyle, in float64. The network has VGG19's layers with a few channels each.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

Array = Any

CHANNELS = {"1": 4, "2": 5, "3": 6, "4": 6, "5": 4}
LAYERS = [f"conv{b}_{i}" for b, n in enumerate((2, 2, 4, 4, 4), 1) for i in range(1, n + 1)]
S5 = ("conv1_1", "conv2_1", "conv3_1", "conv4_1", "conv5_1")
MEANS = np.array([103.939, 116.779, 123.68])
SHAPE, OTHER = (37, 52), (41, 64)
STEPS = 10


def picture(height: int, width: int, phase: float) -> Array:
    """Return a smooth picture ``[H, W, 3]`` in 0..1 of no random numbers."""
    y, x = np.mgrid[:height, :width]
    waves = [np.sin(0.31 * x * (1 + c) + 0.17 * y + phase) * np.cos(0.23 * y - c + phase) for c in range(3)]
    return 0.5 + 0.4 * np.stack(waves, 2) + 0.1 * np.sin(x * y * 0.07 + phase)[:, :, None]


def filters(preprocessing: str) -> dict[str, tuple[Array, Array]]:
    """Return seeded filters ``[out, in, 3, 3]`` and biases at which most channels fire."""
    random = np.random.RandomState(15)
    scale = 60.0 if preprocessing == "caffe" else 1.0  # of activations
    made, into = {}, 3
    for name in LAYERS:
        out = CHANNELS[name[4]]
        weight = (0.15 + random.randn(out, into, 3, 3)) * np.sqrt(2.0 / (9 * into))
        made[name], into = (weight, scale * (0.6 + 0.1 * random.randn(out))), out
    return made


def keras_vgg(pooling: str) -> Any:
    """Return the network in Keras, from a Caffe-prepared image to the maps by name."""
    import keras

    inputs = x = keras.Input((None, None, 3))
    maps = {}
    for name in LAYERS:
        if name.endswith("_1") and maps:
            pool = keras.layers.AveragePooling2D if pooling == "average" else keras.layers.MaxPooling2D
            x = pool((2, 2), strides=(2, 2))(x)
        x = keras.layers.Conv2D(CHANNELS[name[4]], 3, padding="same", activation="relu", name=name)(x)
        maps[name] = x
    model = keras.Model(inputs, maps)
    for name, (weight, bias) in filters("caffe").items():
        model.get_layer(name).set_weights([weight.transpose(2, 3, 1, 0), bias])
    return model


def told(x: Array, losses: dict[str, float], gradient: Array) -> dict[str, Any]:
    """Return losses, norm and some entries of a gradient ``[H, W, 3]`` with respect to RGB in 0..1."""
    flat = gradient.transpose(2, 0, 1).reshape(-1)
    return {
        "losses": losses,
        "gradient_norm": float(np.linalg.norm(flat)),
        "gradient": [float(v) for v in flat[:: len(flat) // 12]],
    }


def tensorflow_systems() -> dict[str, Any]:
    """Return the numbers of the five, and of ``ulyanov2016``."""
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    import keras
    import tensorflow as tf

    keras.backend.set_floatx("float64")
    same = {"x": picture(*SHAPE, 0.0), "content": picture(*SHAPE, 1.0), "style": picture(*SHAPE, 2.0)}
    own = {**same, "style": picture(*OTHER, 2.0)}
    max_pool, average = keras_vgg("max"), keras_vgg("average")
    caffe = keras.applications.vgg19.preprocess_input

    def prepared(image: Array) -> Any:
        return tf.constant(caffe(255.0 * image[None].copy()))

    def gram_mean(maps: Any) -> Any:
        return tf.einsum("bijc,bijd->bcd", maps, maps) / tf.cast(
            tf.shape(maps)[1] * tf.shape(maps)[2], maps.dtype
        )

    def gram_sum(maps: Any) -> Any:
        flat = tf.reshape(maps, [-1, maps.shape[-1]])
        return tf.matmul(flat, flat, transpose_a=True)

    def tutorial(content: float, style: float, tv: float) -> Callable[[Any], dict[str, Any]]:
        c, s = (max_pool(prepared(own[name])) for name in ("content", "style"))
        targets = {name: gram_mean(s[name]) for name in S5}

        def losses(y: Any) -> dict[str, Any]:
            maps = max_pool(y)
            found = {
                "content": content * tf.reduce_mean((maps["conv5_2"] - c["conv5_2"]) ** 2),
                "style": style
                / 5
                * tf.add_n([tf.reduce_mean((gram_mean(maps[name]) - targets[name]) ** 2) for name in S5]),
            }
            if tv:
                image = (tf.reverse(y + MEANS, [-1])) / 255.0
                found["tv"] = tv * tf.image.total_variation(image)[0]
            return found

        return losses

    def chollet(content: float, style: float, tv: float) -> Callable[[Any], dict[str, Any]]:
        c, s = (max_pool(prepared(same[name])) for name in ("content", "style"))
        rows, columns = SHAPE

        def losses(y: Any) -> dict[str, Any]:
            maps = max_pool(y)
            a = tf.square(y[:, : rows - 1, : columns - 1] - y[:, 1:, : columns - 1])
            b = tf.square(y[:, : rows - 1, : columns - 1] - y[:, : rows - 1, 1:])
            grams = [tf.reduce_sum(tf.square(gram_sum(s[n]) - gram_sum(maps[n]))) for n in S5]
            return {
                "content": content * tf.reduce_sum(tf.square(maps["conv5_2"] - c["conv5_2"])),
                "style": style / 5 * tf.add_n(grams) / (4.0 * 3**2 * (rows * columns) ** 2),
                "tv": tv * tf.reduce_sum(tf.pow(a + b, 1.25)),
            }

        return losses

    def gatys(y: Any) -> dict[str, Any]:
        c, s, maps = (average(image) for image in (prepared(same["content"]), prepared(same["style"]), y))
        calm = [average(prepared(picture(*SHAPE, phase))) for phase in (3.0, 4.0)]
        gain = {n: 2.0 / tf.add_n([tf.reduce_mean(m[n], (0, 1, 2)) for m in calm]) for n in (*S5, "conv4_2")}
        style = []
        for name in S5:
            f, a = maps[name] * gain[name], s[name] * gain[name]
            count = 4.0 * f.shape[-1] ** 2 * (f.shape[1] * f.shape[2]) ** 2
            style.append(tf.reduce_sum(tf.square(gram_sum(f) - gram_sum(a))) / count)
        difference = (maps["conv4_2"] - c["conv4_2"]) * gain["conv4_2"]
        return {"content": 0.5 * tf.reduce_sum(tf.square(difference)), "style": 1e3 / 5 * tf.add_n(style)}

    systems = {
        "tf-eager": tutorial(1e3, 1e-2, 0.0),
        "gatys2016": gatys,
        "tf2": tutorial(1e4, 1e-2, 30.0),
        "keras-lbfgs": chollet(0.025, 1.0, 1e-4),
        "keras-sgd": chollet(2.5e-8, 1e-6, 1e-6),
    }
    decay = keras.optimizers.schedules.ExponentialDecay(100.0, decay_steps=100, decay_rate=0.90)
    numbers = {}
    for name, losses in systems.items():
        y = tf.Variable(prepared(same["x"]))
        with tf.GradientTape() as tape:
            found = losses(y)
            total = tf.add_n(list(found.values()))
        gradient = 255.0 * tape.gradient(total, y).numpy()[0, :, :, ::-1]
        numbers[name] = told(same["x"], {k: float(v) for k, v in found.items()}, gradient)
        if name in ("gatys2016", "keras-lbfgs"):
            continue
        tf2 = name == "tf2"  # optimizes RGB in 0..1, the others Caffe's input
        image = tf.Variable(same["content"][None] if tf2 else prepared(same["content"]))
        optimizer = {
            "tf-eager": lambda: keras.optimizers.Adam(learning_rate=5.0, beta_1=0.99, epsilon=0.1),
            "tf2": lambda: keras.optimizers.Adam(learning_rate=0.02, beta_1=0.99, epsilon=0.1),
            "keras-sgd": lambda: keras.optimizers.SGD(decay),
        }[name]()
        course = []
        for _ in range(STEPS):
            with tf.GradientTape() as tape:
                total = tf.add_n(list(losses(caffe(255.0 * image) if tf2 else image).values()))
            optimizer.apply_gradients([(tape.gradient(total, image), image)])
            course.append(float(total))
            if tf2:
                image.assign(tf.clip_by_value(image, 0.0, 1.0))
            elif name == "tf-eager":
                image.assign(tf.clip_by_value(image, -MEANS, 255.0 - MEANS))
        last = image.numpy()[0] if tf2 else (image.numpy()[0] + MEANS)[:, :, ::-1] / 255.0
        flat = last.transpose(2, 0, 1).reshape(-1)
        numbers[name] |= {"course": course, "last": [float(v) for v in flat[:: len(flat) // 12]]}

    kernel = np.random.RandomState(3).randn(1, 11, 20, 24) * np.sqrt(2.0) * np.sqrt(2.0 / ((20 + 24) * 11))
    x, content, style = (tf.constant(spectrogram(phase)) for phase in (0.0, 1.0, 2.0))

    def features(image: Any) -> Any:
        return tf.nn.relu(tf.nn.conv2d(image, kernel, strides=[1, 1, 1, 1], padding="VALID"))

    def audio_gram(maps: Any) -> Any:
        flat = tf.reshape(maps, (-1, maps.shape[-1]))
        return tf.matmul(flat, flat, transpose_a=True) / flat.shape[0]

    variable = tf.Variable(x)
    with tf.GradientTape() as tape:
        found = {
            "content": 1e-2 * 2 * tf.nn.l2_loss(features(variable) - features(content)),
            "style": 2 * tf.nn.l2_loss(audio_gram(features(variable)) - audio_gram(features(style))),
        }
        total = tf.add_n(list(found.values()))
    gradient = tape.gradient(total, variable).numpy()[0, 0].T[:, :, None]  # [bins, frames, 1]
    numbers["ulyanov2016"] = told(x, {k: float(v) for k, v in found.items()}, gradient)
    return numbers


def spectrogram(phase: float) -> Array:
    """Return ``[1, 1, 50, 20]``: frames, and frequencies as channels."""
    return picture(20, 50, phase)[:, :, 0].T[None, None]


def torch_systems() -> dict[str, Any]:
    """Return the numbers of the two that are written in Torch."""
    import torch
    from torch.nn import functional as F

    def vgg(x: Any, preprocessing: str) -> dict[str, Any]:
        if preprocessing == "caffe":
            x = 255.0 * x.flip(1) - torch.tensor(MEANS)[:, None, None]
        else:
            mean, deviation = torch.tensor([[0.485, 0.456, 0.406], [0.229, 0.224, 0.225]]).double()
            x = (x - mean[:, None, None]) / deviation[:, None, None]
        maps = {}
        for name, (weight, bias) in filters(preprocessing).items():
            if name.endswith("_1") and maps:
                x = F.max_pool2d(x, 2)
            if not maps and preprocessing == "torchvision":
                x = F.conv2d(F.pad(x, (1,) * 4, mode="replicate"), torch.tensor(weight), torch.tensor(bias))
            else:
                x = F.conv2d(x, torch.tensor(weight), torch.tensor(bias), padding=1)
            x = maps[name] = torch.relu(x)
        return maps

    def image(shape: tuple[int, int], phase: float) -> Any:
        return torch.tensor(picture(*shape, phase)).permute(2, 0, 1)[None]

    def johnson(x: Any) -> dict[str, Any]:
        maps, c, s = (vgg(i, "caffe") for i in (x, image(SHAPE, 1.0), image(OTHER, 2.0)))

        def gram(f: Any) -> Any:
            flat = f[0].flatten(1)
            return flat @ flat.T / flat.numel()

        y = 255.0 * x
        across, down = y[:, :, :-1, :-1] - y[:, :, :-1, 1:], y[:, :, :-1, :-1] - y[:, :, 1:, :-1]
        return {
            "content": 5.0 * F.mse_loss(maps["conv4_2"], c["conv4_2"]),
            "style": sum(100.0 * F.mse_loss(gram(maps[n]), gram(s[n])) for n in S5),
            "tv": 1e-3 * 0.5 * (across.square() + down.square()).sum(),
        }

    def crowson(x: Any) -> dict[str, Any]:
        maps, c, s = (vgg(i, "torchvision") for i in (x, image(SHAPE, 1.0), image(OTHER, 2.0)))

        def gaussian(f: Any) -> tuple[Any, Any]:
            flat = f[0].flatten(1)
            mean = flat.mean(1)
            covariance = flat @ flat.T / flat.shape[1] - mean[:, None] * mean
            return mean, covariance + 1e-4 * torch.eye(len(mean), dtype=flat.dtype)

        def root(matrix: Any) -> Any:
            values, vectors = torch.linalg.eigh(matrix)
            return vectors @ torch.diag(values.clamp_min(0.0).sqrt()) @ vectors.T

        style = 0.0
        for name, share in zip(S5, (256, 64, 16, 4, 1), strict=True):
            (mean, covariance), (mean_t, covariance_t) = gaussian(maps[name]), gaussian(s[name])
            half = root(covariance_t)
            traces = torch.trace(covariance + covariance_t - 2.0 * root(half @ covariance @ half))
            style = style + share / 341 * ((mean - mean_t).square().mean() + traces / len(mean))
        padded = F.pad(x, (1,) * 4, mode="replicate")
        across = padded[..., 1:-1, 2:] - padded[..., 1:-1, 1:-1]
        down = padded[..., 2:, 1:-1] - padded[..., 1:-1, 1:-1]
        first = across.square().mean() / 3 + down.square().mean() / 3
        diagonals = (padded[..., :-1, :-1] - padded[..., 1:, 1:]).square().mean() / 12
        diagonals = diagonals + (padded[..., :-1, 1:] - padded[..., 1:, :-1]).square().mean() / 12
        return {
            "content": 0.015 * F.mse_loss(maps["conv4_2"], c["conv4_2"]),
            "style": style,
            "tv": 2.0 * 2.0 * (first + diagonals),
        }

    numbers = {}
    for name, losses in (("johnson2015", johnson), ("crowson2021", crowson)):
        x = image(SHAPE, 0.0).requires_grad_(True)
        found = losses(x)
        (gradient,) = torch.autograd.grad(sum(found.values()), x)
        values = {k: v.item() for k, v in found.items()}
        numbers[name] = told(x, values, gradient[0].permute(1, 2, 0).numpy())
    return numbers


if __name__ == "__main__":
    out = Path(__file__).with_name("originals.json")
    made = {**tensorflow_systems(), **torch_systems()}
    out.write_text(json.dumps(made, indent=1) + "\n", encoding="utf-8")
    print(f"wrote {out}")
