"""Many trainings of one network at once: Keras's own step, vectorized over them by JAX. For a GPU.

A network this small leaves a GPU idle. So the folds of a protocol, or the seeds of a fold, go
through it together: the weights, optimizers and batches of all of them are stacked, and one step is
a step of each. Every member draws the windows that it would draw alone, and leaves the same run
folder. Needs Keras on JAX (`emopi.train.backend.import_jax`).
"""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import time
import types
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import keras
import numpy as np
from numpy.typing import NDArray

from emopi.device.errors import RunError
from emopi.device.frontend import Floats
from emopi.train.feed import Feed
from emopi.train.run_record import RunRecord
from emopi.train.topology import build, views_of
from emopi.train.training import Training

SAVE_EVERY_S = 60.0


class ProductConv(keras.layers.Conv2D):  # type: ignore[misc]
    """A convolution over frames as one product of matrices.

    Vectorized, `Conv2D` becomes a grouped convolution, which GPUs are slow at. This becomes a batch
    of products.
    """

    def convolution_op(self, inputs: Any, kernel: Any) -> Any:
        """(batch, rows, frames, channels) times (1, width, channels, filters), padded "same"."""
        ops = keras.ops
        width, stride, frames = self.kernel_size[1], self.strides[1], inputs.shape[2]
        last = (-(-frames // stride) - 1) * stride
        missing = max(last + width - frames, 0)
        padding = ((0, 0), (0, 0), (missing // 2, missing - missing // 2), (0, 0))
        padded = ops.pad(inputs, padding)
        taps = [padded[:, :, k : k + last + 1 : stride] for k in range(width)]
        return ops.matmul(
            ops.concatenate(taps, axis=-1), ops.reshape(kernel, (-1, kernel.shape[-1]))
        )


Watch = Callable[[dict[str, float]], None]


def train_together(
    trainings: Sequence[Training], *, jobs: int, watch: Watch = lambda _: None
) -> list[RunRecord]:
    """Train every member to its last epoch; their records, in order.

    Recipes may differ in the seed alone. Members with as many clips, at the same epoch, take their
    steps together, and while one such fleet computes, the next is given its steps. `jobs` processes
    draw windows; `watch` is told of the slowest fleet's epochs, in the mean over its members.
    Interrupted, each run folder keeps a checkpoint, and goes on from it together or alone. Raises
    `RunError` where members cannot go together.
    """
    if len({_kind(one) for one in trainings}) > 1:
        raise RunError("trainings with different recipes cannot go together; train them apart")
    unfinished = [one for one in trainings if not one.record.finished]
    device = jax.devices()[0].device_kind
    for one in unfinished:
        one.record = dataclasses.replace(
            one.record, hardware=f"{device}, beside {one.record.hardware}"
        )
        one.start()
    groups = [list(g) for _, g in itertools.groupby(sorted(unfinished, key=_place), _place)]
    with contextlib.ExitStack() as stack:
        jobs_each = -(-jobs // max(len(groups), 1))
        fleets = [stack.enter_context(Fleet(group, jobs_each, len(unfinished))) for group in groups]
        try:
            _take_turns(fleets, watch)
        except KeyboardInterrupt:
            raise RunError(
                "interrupted; the run folders keep all but the last minute. Go on with the same "
                "command"
            ) from None
    return [one.record for one in trainings]


def _take_turns(fleets: Sequence[Fleet], watch: Watch) -> None:
    running = {fleet: fleet.run() for fleet in fleets}
    while running:
        for fleet, epochs in list(running.items()):
            if next(epochs, None) is None:
                del running[fleet]
        slowest = min(fleets, key=lambda fleet: fleet.done)
        if slowest.told:
            watch(slowest.told)


def _kind(one: Training) -> str:
    teaching = one.teacher.to_json() if one.teacher else {}
    teaching.pop("run_sha256", None)
    return repr((dataclasses.replace(one.recipe, seed=0), teaching))


def _place(one: Training) -> tuple[int, int]:
    return len(one.sampler.indices), one.done


class Fleet:
    """Members that take every step together, from the same epoch on, with as many clips each."""

    def __init__(self, members: list[Training], jobs: int, together: int) -> None:
        """`jobs` processes draw windows; `together` trainings share the device's time."""
        self.members = members
        self.together = together
        self.done = members[0].done
        self.told: dict[str, float] = {}
        self.feed = Feed([one.sampler for one in members], jobs)
        self.twin = _twin(members[0].model)
        self.state = _State.of(members)
        self.teachers = _Teachers.of(members)
        self.step = self._compiled_step()
        self.predict = self._compiled_prediction()

    def __enter__(self) -> Fleet:
        return self

    def __exit__(self, *_: object) -> None:
        try:
            # a step that has not ended still reads what the feed has drawn
            jax.block_until_ready((self.state.trainable, self.state.others, self.state.optimizer))
        finally:
            self.feed.close()

    def run(self) -> Iterator[int]:
        """Every epoch that is left: yields each as soon as the device has its steps to take."""
        started = saved = time.monotonic()
        before = [one.record.seconds for one in self.members]

        def seconds(member: int) -> float:
            # of the time that they took together, each took its part
            return before[member] + (time.monotonic() - started) / self.together

        for windows, labels in self.feed.epochs(self.done, self.members[0].recipe.epochs):
            began = time.monotonic()
            results = self._take_steps(windows, labels)
            yield self.done
            clips, rates = zip(*results, strict=True)
            totals = np.average(np.array(rates), axis=0, weights=clips)
            self._count(totals, time.monotonic() - began)
            if time.monotonic() - saved > SAVE_EVERY_S:
                self.state.write_back(self.members)
                for k, one in enumerate(self.members):
                    one.save(seconds(k))
                saved = time.monotonic()
        self.state.write_back(self.members)
        for k, one in enumerate(self.members):
            one.finish(seconds(k))

    def _take_steps(self, windows: Floats, labels: Floats) -> list[tuple[int, Any]]:
        """An epoch's: how many clips of each member a step took, and what will come of it.

        (steps, members, batch, frames, n_mfcc) windows and (..., labels) labels; a last batch that
        is smaller has its windows first.
        """
        self.state.reseed(self.members, self.twin)
        left = len(self.members[0].sampler.indices)
        results = []
        for x, y in zip(windows, labels, strict=True):
            n = min(x.shape[1], left)
            results.append((n, self._take_step(x[:, :n], y[:, :n])))
            left -= n
        return results

    def _count(self, totals: NDArray[np.floating], seconds: float) -> None:
        """An epoch is done: (2, members) loss and accuracy."""
        self.done += 1
        for k, one in enumerate(self.members):
            entry = {"loss": float(totals[0, k]), "accuracy": float(totals[1, k])}
            if one.validation and one.validates(self.done):
                windows, classes = one.validation
                right = np.argmax(self._answers(k, windows), axis=1) == classes
                entry["validation_accuracy"] = float(np.mean(right))
            one.count(entry, seconds / self.together)
        loss, accuracy = np.mean(totals, axis=1)
        self.told = {"epoch": self.done, "loss": float(loss), "accuracy": float(accuracy)}

    def _take_step(self, x: Floats, y: Floats) -> Any:
        state = self.state
        state.trainable, state.others, state.optimizer, result = self.step(
            state.trainable, state.others, state.optimizer, self.teachers.variables, x, y
        )
        return result

    def _answers(self, member: int, windows: Floats) -> Floats:
        trainable, others = (
            [stacked[member] for stacked in kind]
            for kind in (self.state.trainable, self.state.others)
        )
        return np.asarray(self.predict(trainable, others, windows))

    def _compiled_step(self) -> Any:
        """One step of every member: (loss, accuracy) of each, before it."""
        from emopi.train.taught_loss import accuracy

        twin, teacher = self.twin, self.teachers.twin
        optimizer, loss_of = self.members[0].model.optimizer, self.members[0].loss()

        def step(trainable: Any, others: Any, slots: Any, taught_by: Any, x: Any, y: Any) -> Any:
            if teacher:
                logits, _ = teacher.stateless_call(*taught_by, x, training=False)
                y = keras.ops.concatenate([y, logits], axis=1)

            def pay(trainable: Any) -> Any:
                logits, after = twin.stateless_call(trainable, others, x, training=True)
                loss = loss_of(y, logits)
                return loss, (after, keras.ops.mean(accuracy(y, logits)))

            (loss, (others_after, right)), gradients = jax.value_and_grad(pay, has_aux=True)(
                trainable
            )
            trainable, slots = optimizer.stateless_apply(slots, gradients, trainable)
            return trainable, others_after, slots, keras.ops.stack([loss, right])

        return jax.jit(jax.vmap(step, out_axes=(0, 0, 0, 1)), donate_argnums=(0, 1, 2))

    def _compiled_prediction(self) -> Any:
        twin = self.twin
        return jax.jit(lambda *state_and_x: twin.stateless_call(*state_and_x, training=False)[0])


@dataclasses.dataclass(slots=True)
class _State:
    """The variables of all members, each stacked over them."""

    trainable: list[Any]
    others: list[Any]
    """Batch normalization's averages, and where dropout's random numbers stand."""
    optimizer: list[Any]

    @classmethod
    def of(cls, members: Sequence[Training]) -> _State:
        for one in members:
            one.model.optimizer.build(one.model.trainable_variables)
        return cls(*(_stacked(kind) for kind in zip(*map(_variables, members), strict=True)))

    def write_back(self, members: Sequence[Training]) -> None:
        kept = [
            [np.asarray(values) for values in kind]
            for kind in (self.trainable, self.others, self.optimizer)
        ]
        for k, one in enumerate(members):
            for variables, kind in zip(_variables(one), kept, strict=True):
                for variable, values in zip(variables, kind, strict=True):
                    variable.assign(values[k])

    def reseed(self, members: Sequence[Training], twin: Any) -> None:
        """Let dropout go on as in each member alone."""
        places = {id(variable): k for k, variable in enumerate(twin.non_trainable_variables)}
        for index, layer in enumerate(twin.layers):
            generator = getattr(layer, "seed_generator", None)
            if generator is not None:
                seeds = np.stack([one.dropout_seed(index) for one in members])
                self.others[places[id(generator.state)]] = jnp.asarray(seeds)


@dataclasses.dataclass(slots=True)
class _Teachers:
    """The members' teachers, if they have any."""

    twin: Any = None
    variables: tuple[list[Any], list[Any]] = ((), ())  # type: ignore[assignment]

    @classmethod
    def of(cls, members: Sequence[Training]) -> _Teachers:
        models = [one.teacher.model for one in members if one.teacher]
        if not models:
            return cls()
        trainable = _stacked([model.trainable_variables for model in models])
        others = _stacked([model.non_trainable_variables for model in models])
        return cls(_twin(models[0]), (trainable, others))


def _variables(one: Training) -> tuple[list[Any], list[Any], list[Any]]:
    model = one.model
    return model.trainable_variables, model.non_trainable_variables, model.optimizer.variables


def _stacked(members: Sequence[Sequence[Any]]) -> list[Any]:
    """Of each variable that every member has, the values of all: (members, ...)."""
    return [
        jnp.asarray(np.stack([np.asarray(one) for one in values]))
        for values in zip(*members, strict=True)
    ]


def _twin(model: Any) -> Any:
    """The same network, with the same variables in the same order, of `ProductConv`."""
    layers = types.ModuleType("keras.layers")
    vars(layers).update(vars(keras.layers), Conv2D=ProductConv)
    vectorizable = types.ModuleType("keras")
    vars(vectorizable).update(vars(keras), layers=layers)
    _, window_frames, n_mfcc = model.input_shape
    return build(
        model.name,
        vectorizable,
        window_frames=window_frames,
        n_mfcc=n_mfcc,
        n_labels=model.output_shape[-1],
        n_views=views_of(model),
    )
