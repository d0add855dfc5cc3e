"""The whole way in one file: audit, embed, select, labels come back, adapt, evaluate, report."""

from .planning import pipeline_status, report_pipeline
from .result import PipelineRun
from .run import run_pipeline
from .template import template, write_template

__all__ = ["PipelineRun", "pipeline_status", "report_pipeline", "run_pipeline", "template", "write_template"]
