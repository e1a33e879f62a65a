"""The report of a run: one self-contained HTML page, the printed summary, two runs side by side.

In: a report as `report.json` holds it, and the traces to draw. Out: pages, text.
"""

from deploy.report.again import rewrite
from deploy.report.changed import stages
from deploy.report.compare import compare_html
from deploy.report.html import render, write_report
from deploy.report.text import compare, summary

__all__ = ["compare", "compare_html", "render", "rewrite", "stages", "summary", "write_report"]
