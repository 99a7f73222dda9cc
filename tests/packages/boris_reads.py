"""Run by BORIS' own Python: opens a project as BORIS does and prints what it found, as JSON.

The window needs libmpv; without it, the project is read by the functions behind the window.
"""

import ctypes.util
import importlib.util
import json
import sys
import types

has_window = ctypes.util.find_library("mpv") is not None
if not has_window:  # the package's __init__ loads the window
    spec = importlib.util.find_spec("boris")
    package = types.ModuleType("boris")
    package.__path__ = list(spec.submodule_search_locations)
    sys.modules["boris"] = package

from boris import config, db_functions, dialog, project_functions  # noqa: E402

path, was_changed, project, message = project_functions.open_project_json(sys.argv[1])
observations = list(project[config.OBSERVATIONS])
codes = [each["code"] for each in project[config.ETHOGRAM].values()]
integrity = project_functions.check_project_integrity(
    project, config.S, path, media_file_available=False
)
is_read, why, database = db_functions.load_aggregated_events_in_db(
    project, [config.NO_FOCAL_SUBJECT], observations, codes
)
columns = "observation, behavior, modifiers, start, stop, comment"
rows = database.execute(f"SELECT {columns} FROM aggregated_events").fetchall() if is_read else []


def open_window() -> list[str]:
    """The behaviours that the window lists."""
    from boris import core
    from PyQt5.QtWidgets import QApplication

    dialog.MessageDialog = lambda *_, **__: "No"  # to looking for a newer version
    application = QApplication(sys.argv[:1])
    window = core.MainWindow("ffmpeg")
    window.load_project(path, was_changed, project)
    assert window.windowTitle() == "ih-mcp export - BORIS", window.windowTitle()
    shown = window.twEthogram
    names = [shown.item(row, 1).text() for row in range(shown.rowCount())]
    del application
    return names


found = {
    "error": project.get("error", ""),
    "message": message,
    "integrity": integrity,
    "why": why,
    "rows": [list(map(str, row)) for row in rows],
    "codes": codes,
    "shown": open_window() if has_window else None,
}
with open(sys.argv[2], "w", encoding="utf-8") as file:
    json.dump(found, file)
    file.flush()
