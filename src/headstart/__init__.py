"""Which pre-training should a vision model start from, what does it buy, and why?

The verbs of the command line as functions: `headstart.run_study`, `headstart.compare`, ... They are loaded from
`headstart.api` on first use, so that `import headstart` costs nothing.
"""

from typing import Any

__all__ = [
    "build_report",
    "check",
    "compare",
    "describe_weights",
    "environment",
    "evaluate",
    "list_weights",
    "open_dataset",
    "plan_study",
    "predict",
    "pretrain",
    "run_study",
    "show_chips",
]


def __getattr__(name: str) -> Any:
    if name in __all__:
        from headstart import api

        return getattr(api, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
