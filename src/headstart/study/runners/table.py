"""Which function runs each kind of job.

Every runner takes (settings, place, inputs, out, progress), writes its files into `out` and returns flat metrics. They
run in worker processes; what imports torch is imported inside them.
"""

from __future__ import annotations

from headstart.study.runners.deciding import decide
from headstart.study.runners.explaining import activations, composition, neighbors
from headstart.study.runners.images import draw, prepare, split, view
from headstart.study.runners.looking import contents, look, pair
from headstart.study.runners.origins import pretrain, proposals, resize
from headstart.study.runners.own_sizes import finetune, whole_test
from headstart.study.runners.screening import screen
from headstart.study.runners.timing import timed
from headstart.study.runners.training import evaluate, features, probe, transfer

RUNNERS = {
    "draw": draw,
    "split": split,
    "prepare": prepare,
    "view": view,
    "resize": resize,
    "proposals": proposals,
    "pretrain": pretrain,
    "transfer": transfer,
    "evaluate": evaluate,
    "decide": decide,
    "finetune": finetune,
    "test_whole": whole_test,
    "features": features,
    "probe": probe,
    "neighbors": neighbors,
    "activations": activations,
    "composition": composition,
    "look": look,
    "pair": pair,
    "contents": contents,
    "screen": screen,
    "time": timed,
}
