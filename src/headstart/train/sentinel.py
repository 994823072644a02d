"""Watches the first updates of a training, and stops it with the likely cause where they are not those of a sound one.

It reads and changes nothing: a training has the same bits with and without it. Limits are in `headstart.train.watch`,
what they were measured on in docs/sentinel.md.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from torch import Tensor, nn

from headstart.batches.batch import Batch
from headstart.errors import HeadstartError, TrainingError
from headstart.models.backbones.preprocessing import Preprocessing
from headstart.models.detection.targets import POSITIVES
from headstart.names import COUNT
from headstart.recipes.schema import Recipe
from headstart.train.forward import Forward, NotFinite
from headstart.train.loaders import BatchSource
from headstart.train.saving import Saver
from headstart.train.watch import heads, network, start, truth
from headstart.train.watch.measures import ADVICE, Measure
from headstart.train.watch.network import Seen
from headstart.train.watch.steps import Movement, of_gradients

FEWEST = 5
"""Updates that are watched at least."""
LOOKS = 5
"""Batches that are looked at before the first update, where the first one looks wrong."""
GO_ON = (
    "If it is meant so, `sentinel = false` in the recipe goes on regardless, from the same state: in the study's file "
    "(study.toml of its run), or `headstart pretrain --set training.sentinel=false`."
)


class Alarm(TrainingError):
    """A training that was stopped in its first updates; `measure` is what was wrong."""

    def __init__(self, message: str, measure: Measure) -> None:
        super().__init__(message)
        self.measure = measure


def window_of(updates: int) -> int:
    """How many of the updates are watched: one in a hundred, but not fewer than five."""
    return max(FEWEST, -(-updates // 100))


def look_at_start(backbone: nn.Module, source: BatchSource, preprocessing: Preprocessing, recipe: Recipe) -> None:
    """Raise Alarm where loaded weights do not compute on the first images what their norms remember.

    Before norms are estimated anew, which would hide it. Images that cannot be read are left to the training to name.
    A few images can be odd ones, so where the first ones look wrong, further batches have to, most of them.
    """
    if not recipe.sentinel or start.knows_nothing_at_all(backbone):
        return
    count = max(1, min(start.IMAGES, source.batch_size // recipe.accumulate))
    device = next(backbone.parameters()).device

    def look(t: int) -> Measure | None:
        try:
            images = source.batch(t, slice(0, count)).images
        except HeadstartError:
            return None
        return _worst(start.of_start(backbone, images.to(device), preprocessing))

    worst = look(0)
    if worst is not None and sum(look(t) is not None for t in range(1, LOOKS)) >= LOOKS // 2:
        raise Alarm(f"before the first update: {_words(worst)} {GO_ON}", worst)


@dataclass(frozen=True)
class Known:
    """What a training does not show of itself."""

    reads: truth.Reads | None = None
    """The annotation that its losses read as it is; None: not known, and not checked."""
    searched: bool = False
    """The rate is one of several that are tried, so that one which is too high is an answer and no fault."""


NOTHING = Known()


class Sentinel:
    """One training's. `before` and `after` are called in every update, and do nothing after its window."""

    def __init__(self, forward: Forward, source: BatchSource, saver: Saver, known: Known) -> None:
        self.forward, self.model, self.recipe = forward, forward.model, forward.recipe
        self.source, self.saver, self.known = source, saver, known
        self.window = window_of(self.recipe.updates) if self.recipe.sentinel else 0
        self._seen: Seen | None = None
        self._first: Batch | None = None
        self._totals: list[float] = []

    def before(self, step: int, batch: Batch) -> None:
        """Of the images and their annotation, before the network sees them. Raises Alarm."""
        if step >= self.window:
            return
        if self._first is None:
            self._begin(batch)
            measures = truth.of_source(self.source, self.known.reads, self._num_classes)
            self._judge(step, measures + truth.of_batch(batch, self.known.reads, self._num_classes))
            self._seen = Seen(self.model, heads.sigmoid_outputs(self.model), inside=not self.recipe.compile)
        else:
            self._judge(step, truth.of_batch(batch, self.known.reads, self._num_classes))
        self._targets += truth.number_of_targets(batch, self.known.reads)
        self._judge(step, self._stream.measures(batch))

    def _begin(self, batch: Batch) -> None:
        self._first = batch
        self._num_classes = heads.num_classes_of(self.model)
        self._stream = truth.Stream(self.source, self.known.reads)
        self._movement = Movement(self.model)
        self._targets = 0.0
        self._positives: float | None = None
        self._without_gradient = 0
        history = self.saver.history
        self._totals = [_total(dict(zip(history.names, row.tolist(), strict=True))) for row in history.losses]

    def after(self, step: int, losses: Mapping[str, Tensor], factor: float) -> None:
        """Of the losses and gradients of an update, before the optimizer uses them; factor: of the rate, in it.

        Raises Alarm.
        """
        if step >= self.window:
            return
        values = {name: float(value) for name, value in losses.items()}
        self._totals.append(_total(values))
        if POSITIVES in values:
            self._positives = (self._positives or 0.0) + values[POSITIVES]
        if self._seen is not None:
            self._judge(step, self._of_first(step, values))
        self._judge(step, self._of_updates(step, factor))

    def explained(self, fault: NotFinite) -> NotFinite:
        """A loss that is not finite, with the cause where one is seen."""
        if self._seen is None:
            return fault
        worst = _worst([*network.of_stages(self._seen, self.forward.precision), *self._of_input()])
        return fault if worst is None else NotFinite(f"{fault} {_words(worst)}", fault.image_ids)

    def _of_first(self, step: int, values: dict[str, float]) -> list[Measure]:
        """Of what hooks saw in the first update that is watched."""
        assert self._seen is not None and self._first is not None
        seen, measures = self._seen, self._of_input()
        seen.detach()
        measures += network.of_untouched(self.model.backbone)  # type: ignore[arg-type]
        if self.recipe.trainable == "all":  # random features that nothing trains are a control
            measures += network.of_frozen(seen)
        measures += network.of_stages(seen, self.forward.precision)
        if step == 0:
            if seen.outputs:
                measures += heads.of_prior(seen.probability())
            parts = self.recipe.accumulate
            outputs = seen.outputs * self.forward.world.size
            expected = heads.expected_losses(self.model, self._first, values, outputs, parts=parts)
            measures += heads.of_losses(values, expected)
        self._seen = None
        return measures

    def _of_input(self) -> list[Measure]:
        if self._seen is None or self._seen.input is None or self._first is None:
            return []
        if getattr(self.model, "changes_input", False):  # in size and in what is seen, so that colors differ, too
            return []
        images = self._first.parts(self.recipe.accumulate)[0].images.to(self._seen.input.device)
        return network.of_input(images, self._seen.input, self.forward.preprocessing)

    def _of_updates(self, step: int, factor: float) -> list[Measure]:
        """Of gradients, of how far the weights moved, and of what there was to learn from."""
        measures = []
        if self.recipe.trainable == "all":
            measures += of_gradients(self.model, self._without_gradient)
            self._without_gradient = self._without_gradient + 1 if measures[-1].value else 0
        moved = self._movement.measures(self._totals, factor, self.recipe)
        if not self.known.searched:
            measures += moved
        if step + 1 == self.window or step + 1 == self.recipe.updates:
            measures += truth.of_targets(self.known.reads, self._targets, self._positives)
        return measures

    def _judge(self, step: int, measures: Sequence[Measure]) -> None:
        """Raise Alarm for the worst in any process, in all of them."""
        found = [worst for worst in self.forward.world.gather(_worst(measures)) if worst is not None]
        if not found:
            return
        folder, saved = self.saver.folder, self.saver.saved
        kept = (
            f"Nothing is lost: the state of {saved} updates is kept in {folder}."
            if saved
            else f"Nothing is lost: no update had been saved yet in {folder}."
        )
        at = f"update {step} of {self.recipe.updates}"
        raise Alarm(f"{at}: {_words(found[0])} {kept} {GO_ON}", found[0])


def _worst(measures: Sequence[Measure]) -> Measure | None:
    """The first that is bad: causes are measured before what follows from them."""
    return next((measure for measure in measures if measure.bad), None)


def _words(measure: Measure) -> str:
    return f"the training looks wrong. Likely cause: {measure.fault}: {measure.said}. {ADVICE[measure.fault]}"


def _total(losses: Mapping[str, float]) -> float:
    return sum(value for name, value in losses.items() if not name.startswith(COUNT))
