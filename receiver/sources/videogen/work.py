"""The sorts of asynchronous work at VideoGen: where each is started, asked about and listed, and how its end is told.

Source: https://docs.videogen.io (read 2026-10). A remix is one job here: its id is that of the project it is made in, a
colon, and the ids of its actions joined by commas.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """One sort of work. Braces in paths stand for a parameter, or for the job's id."""

    event: str  #: its events are `event.succeeded`, `event.failed`, `event.cancelled`
    id: str  #: the field with its id, in answers and events
    ask: str
    start: str = ""
    tool: str | None = None  #: the field with the tool, in answers and events
    constant: str | None = None  #: the tool of all its jobs, where no field tells
    listed: tuple[str, str] | None = None  #: where the newest are listed, and under which name
    cancel: str | None = None
    known_by: tuple[str, ...] = ()  #: how ids begin. Only a hint: they may change their looks


EXECUTION = Work(
    event="tool_execution",
    id="toolExecutionId",
    tool="toolType",
    start="/v1/tools/{name}",
    ask="/v1/tools/executions/{id}",
    listed=("/v1/tools/executions", "toolExecutions"),
    cancel="/v1/tools/executions/{id}/cancel",
    known_by=("vg_tool_", "vg_exec_"),
)
RUN = Work(
    event="workflow_run",
    id="workflowRunId",
    tool="workflowType",
    start="/v1/workflows/{name}",
    ask="/v1/workflows/runs/{id}",
    listed=("/v1/workflows/runs", "workflowRuns"),
    cancel="/v1/workflows/runs/{id}/cancel",
    known_by=("vg_work_",),
)
EXPORT = Work(
    event="project_export",
    id="exportId",
    constant="PROJECT_EXPORT",
    start="/v1/projects/{projectId}/export",
    ask="/v1/projects/{projectId}/exports/{id}",
    known_by=("vg_expo_",),
)
MESSAGE = Work(
    event="assistant_message",
    id="messageId",
    constant="ASSISTANT_MESSAGE",
    start="/v1/assistants/{assistantId}/messages",
    ask="/v1/assistant-messages/{id}",
    known_by=("vg_mesg_",),
)
REMIX = Work(
    event="project_remix",
    id="remixActionIds",
    constant="PROJECT_REMIX",
    start="/v1/projects/{projectId}/remix",
    ask="/v1/projects/{projectId}/remix-actions",
    known_by=("vg_rmix_",),
)
INTERCHANGE = Work(
    event="timeline_interchange",
    id="interchangeJobId",
    constant="TIMELINE_INTERCHANGE",
    start="/v1/projects/{projectId}/timeline-interchange",
    ask="/v1/timeline-interchange/{id}",
    known_by=("vg_inte_",),
)
IMPORT = Work(
    event="file_import",
    id="fileImportId",
    constant="FILE_URL_IMPORT",
    start="/v1/files/import-url",
    ask="/v1/files/imports/{id}",
)

WORKS = (EXECUTION, RUN, EXPORT, MESSAGE, REMIX, INTERCHANGE, IMPORT)


def work_of(id: str) -> Work:
    """Return the sort of work that an id looks like; a tool execution if it looks like none."""
    return next((work for work in WORKS if work.known_by and id.startswith(work.known_by)), EXECUTION)
