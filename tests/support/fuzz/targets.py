"""All targets by name."""

from support.fuzz.data import DATA
from support.fuzz.settings import SETTINGS
from support.fuzz.weights import WEIGHTS

TARGETS = {target.name: target for target in (*SETTINGS, *DATA, *WEIGHTS)}
