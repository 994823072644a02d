"""The verbs as typed functions: what users import, and what the command line calls. Imports torch only where a network
is needed."""

from headstart.api.comparing import compare, plan_comparison
from headstart.api.data import CheckSummary, check, evaluate, open_dataset, open_suite, read_detections, read_image
from headstart.api.explaining import explain_weights
from headstart.api.judging import judge
from headstart.api.models import load_model, predict, pretrain, show_chips
from headstart.api.screening import screen
from headstart.api.studies import build_report, environment, plan_study, report_table, run_study, write_figures
from headstart.api.suites import SuiteSummary, suite
from headstart.api.weights import (
    describe_weights,
    export_weights,
    import_weights,
    list_weights,
    load_backbone,
    verify_weights,
)
from headstart.recipes.pretraining import PretrainingOptions
from headstart.report.finished import RunSummary

__all__ = [
    "CheckSummary",
    "PretrainingOptions",
    "RunSummary",
    "SuiteSummary",
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
