"""Runs in the referee's own environment: what mediapipe and Praat measure, as JSON.

`python judge.py FOLDER`: reads `pictures.npy` (gray, all pictures) and `sound.wav`.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np

_BETWEEN_EYES, _FOREHEAD, _CHIN = 168, 10, 152  # of mediapipe's face mesh


def _head(folder: Path) -> list[list[float] | None]:
    """Per picture: right and down of the point between the eyes, and the face's height."""
    from mediapipe.python.solutions import face_mesh  # noqa: PLC0415 - only in this environment

    pictures = np.load(folder / "pictures.npy")
    height, width = pictures.shape[1:]
    found: list[list[float] | None] = []
    with face_mesh.FaceMesh(max_num_faces=1, refine_landmarks=False) as mesh:
        for gray in pictures:
            faces = mesh.process(np.repeat(gray[:, :, None], 3, axis=2)).multi_face_landmarks
            if not faces:
                found.append(None)
                continue
            points = [faces[0].landmark[index] for index in (_BETWEEN_EYES, _FOREHEAD, _CHIN)]
            eyes, top, chin = ((point.x * width, point.y * height) for point in points)
            found.append([eyes[0], eyes[1], chin[1] - top[1]])
    return found


def _voice(folder: Path) -> dict[str, Any]:
    import parselmouth  # noqa: PLC0415 - only in this environment
    from parselmouth.praat import call  # noqa: PLC0415

    sound = parselmouth.Sound(str(folder / "sound.wav"))
    pitch = sound.to_pitch_ac(time_step=0.01, pitch_floor=75, pitch_ceiling=500)
    intensity = sound.to_intensity(minimum_pitch=100)
    grid = call(intensity, "To TextGrid (silences)", -25, 0.25, 0.1, "silent", "sounding")
    intervals = int(call(grid, "Get number of intervals", 1))
    silences = [
        [
            call(grid, "Get start time of interval", 1, n),
            call(grid, "Get end time of interval", 1, n),
        ]
        for n in range(1, intervals + 1)
        if call(grid, "Get label of interval", 1, n) == "silent"
    ]
    return {
        "pitch_times": pitch.xs().tolist(),
        "pitch_hertz": pitch.selected_array["frequency"].tolist(),
        "silences": silences,
    }


def main() -> None:
    folder = Path(sys.argv[1])
    told: dict[str, Any] = {}
    if (folder / "pictures.npy").exists():
        told["head"] = _head(folder)
    if (folder / "sound.wav").exists():
        told["voice"] = _voice(folder)
    (folder / "judged.json").write_text(json.dumps(told))


if __name__ == "__main__":
    main()
