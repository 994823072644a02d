"""Which pre-training should a vision model start from, what does it buy, and why?

The verbs of the command line as functions: `headstart.run_study`, `headstart.compare`, ... They are loaded from
`headstart.api` on first use, so that `import headstart` costs nothing.
"""

from typing import TYPE_CHECKING, Any

from headstart.errors import (
    DataError,
    FetchError,
    HeadstartError,
    Interrupted,
    StoreError,
    StudyError,
    TrainingError,
    UsageError,
    WeightsError,
)
from headstart.places.cache import keep_kernels

keep_kernels()  # before anything imports numba

if TYPE_CHECKING:
    __version__: str
    from headstart.api import (
        PretrainingOptions,
        build_report,
        check,
        compare,
        describe_weights,
        environment,
        evaluate,
        explain_weights,
        export_weights,
        import_weights,
        judge,
        list_weights,
        load_backbone,
        load_model,
        open_dataset,
        open_suite,
        plan_comparison,
        plan_study,
        predict,
        pretrain,
        read_detections,
        read_image,
        report_table,
        run_study,
        screen,
        show_chips,
        suite,
        verify_weights,
        write_figures,
    )

__all__ = [
    "DataError",
    "FetchError",
    "HeadstartError",
    "Interrupted",
    "PretrainingOptions",
    "StoreError",
    "StudyError",
    "TrainingError",
    "UsageError",
    "WeightsError",
    "__version__",
    "build_report",
    "check",
    "compare",
    "describe_weights",
    "environment",
    "evaluate",
    "explain_weights",
    "export_weights",
    "import_weights",
    "judge",
    "list_weights",
    "load_backbone",
    "load_model",
    "open_dataset",
    "open_suite",
    "plan_comparison",
    "plan_study",
    "predict",
    "pretrain",
    "read_detections",
    "read_image",
    "report_table",
    "run_study",
    "screen",
    "show_chips",
    "suite",
    "verify_weights",
    "write_figures",
]


if not TYPE_CHECKING:  # or every name would be there for a type checker

    def __getattr__(name: str) -> Any:
        if name == "__version__":
            from importlib.metadata import version

            return version("headstart")
        if name in __all__:
            from headstart import api

            return getattr(api, name)
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
