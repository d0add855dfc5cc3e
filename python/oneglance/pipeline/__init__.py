"""The whole way in one file: audit, embed, select, labels come back, adapt, evaluate, report."""

from .result import PipelineRun
from .run import pipeline_status, run_pipeline
from .template import template, write_template

__all__ = ["PipelineRun", "pipeline_status", "run_pipeline", "template", "write_template"]
