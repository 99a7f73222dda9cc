"""Which file of the allowed folders a name means: first by its letters, then by the disk."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path, PurePath, PureWindowsPath

from ih_mcp.errors import PathError
from ih_mcp.files import normalize_path, require_media, show_name

from .file_names import (
    GIVE_FILE,
    alike,
    explained,
    folded,
    near_misses,
    path_of,
    shown,
    sounds_like_media,
)

MAX_NAMED = 50
"""Chosen: how many files of a folder are named to who gives the folder."""
_MAX_SCANNED = 20_000  # entries of a folder that are compared with a name
_WHO_ALLOWS = "Only the person who runs ih-mcp can allow another folder, by IH_MCP_MEDIA_DIRS."
_LOCAL_LINKS = ("/tmp", "/var")  # noqa: S108 - not written to; macOS links them to /private


@dataclass(frozen=True, slots=True)
class Admitted:
    """A file that may be read."""

    path: Path
    """Absolute and free of links."""
    size: int
    notes: tuple[str, ...] = ()
    """What to tell the caller: where it is not the very name that was written."""


def find(path: str, *, allowed: Sequence[Path] | None) -> Admitted:
    """The file that `path` names, if it may be read.

    A name that nothing has is taken for the one file that looks the same: letters composed in
    another way, another kind of space. Touches the disk: call it in a thread.

    Args:
        path: As the caller wrote it: a path, or a `file:` URI of this machine. A relative one is
            looked for in every allowed folder, and must be in one alone.
        allowed: Folders whose files, at any depth, may be read. A path that leads outside by its
            letters is refused before the disk is touched. None: a person named this very file,
            as a shell does, and any may be read.

    Raises:
        PathError: `path_not_allowed`, `file_not_found`, `ambiguous_path`, `not_a_file` or
            `empty_file`.
    """
    written = path_of(path)
    if "\0" in written:
        raise _no_path(path)
    with _no_path_for_odd_ones(path):
        roots = None if allowed is None else [_Root.of(folder) for folder in allowed]
        return _Search(path, written, roots).result()


# --- by letters ----------------------------------------------------------------------------------


def beneath(path: PurePath, folder: PurePath) -> PurePath | None:
    """What follows `folder` in `path`, by letters alone; None where `path` leads out of it.

    Args:
        path: A relative one is taken from `folder`. On Windows the drive, the share or the
            device has to be that of the folder.
        folder: Absolute and normal.
    """
    whole, depth = normalize_path(folder / path), len(folder.parts)
    if _looks(whole, depth) != _looks(folder, depth):
        return None
    return type(whole)(*whole.parts[depth:])


def _looks(path: PurePath, depth: int) -> list[str]:
    looks = [folded(part) for part in path.parts[:depth]]
    return [look.lower() for look in looks] if isinstance(path, PureWindowsPath) else looks


@dataclass(frozen=True, slots=True)
class _Root:
    """An allowed folder."""

    real: Path
    """Absolute and free of links."""
    names: tuple[PurePath, ...]
    """Every name it goes by."""

    @classmethod
    def of(cls, folder: Path) -> _Root:
        real = folder.resolve()
        return cls(real, (real, normalize_path(folder.absolute()), *_aliases(real)))

    def place(self, path: PurePath) -> Path | None:
        """Where `path` would be in this folder; None where it leads out of it by its letters."""
        rests = (beneath(path, name) for name in self.names)
        rest = next((rest for rest in rests if rest is not None), None)
        return None if rest is None else self.real / rest


def _aliases(real: Path) -> Iterator[PurePath]:
    """Names of a folder by links above it that people do not think of: home, /tmp on macOS."""
    for alias in (os.path.expanduser("~"), os.environ.get("PWD", ""), *_LOCAL_LINKS):  # noqa: PTH111 - it does not raise
        with suppress(OSError, RuntimeError, ValueError):
            link = Path(alias)
            if link.is_absolute():
                yield link / real.relative_to(link.resolve())


# --- by the disk ---------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Search:
    """One search for the file that a caller named."""

    asked: str
    """As the caller wrote it, for texts."""
    written: str
    """The path in it."""
    roots: Sequence[_Root] | None
    """Allowed folders; None: any file may be read."""

    def result(self) -> Admitted:
        places = self._places()
        reals = [place.resolve() for place in places]
        inside = [real for real in reals if self._is_allowed(real)]
        if not inside:
            raise self._not_allowed()
        if found := _there(inside):
            return self._the_one(found)
        if found := _there(filter(None, map(self._look_alike, places))):
            taken = self._the_one(found)
            note = f"nothing is called {show_name(self.asked)}; {taken.path.name!a} looks the same"
            return replace(taken, notes=(f"{note} and was taken",))
        raise self._not_found(inside)

    def _places(self) -> list[Path]:
        """Where the file would be; one whose name begins with ~ comes before somebody's home."""
        places = self._places_of(self.written)
        if not self.written.startswith("~"):
            return places
        there = _there(real for place in places if self._is_allowed(real := place.resolve()))
        return places if there else self._places_of(os.path.expanduser(self.written))  # noqa: PTH111 - it does not raise

    def _places_of(self, written: str) -> list[Path]:
        path = Path(written)
        if self.roots is None:
            return [Path.cwd() / path]
        if ".." in path.parts and any(_goes_over_a_link(path, root) for root in self.roots):
            raise self._not_allowed()
        return [place for root in self.roots if (place := root.place(path))]

    def _is_allowed(self, real: Path) -> bool:
        return self.roots is None or any(real.is_relative_to(root.real) for root in self.roots)

    def _the_one(self, found: dict[Path, os.stat_result]) -> Admitted:
        if len(found) > 1:
            raise PathError(
                f"{show_name(self.asked)} is in more than one of the allowed folders",
                help=f"Give the whole path: {' or '.join(map(str, found))}.",
                code="ambiguous_path",
                facts={"found": [str(real) for real in found]},
            )
        ((real, status),) = found.items()
        require_media(self.asked, status, within=_first_files(real))
        return Admitted(real, status.st_size)

    def _look_alike(self, place: Path) -> Path | None:
        """The one file that looks as `place` does, each folder on the way too; None: not one."""
        current = Path(place.anchor)
        for part in place.parts[1:]:
            if not os.path.lexists(current / part):
                if not self._is_allowed(current.resolve()):
                    return None  # what is outside is not compared with anything
                names = _names_in(current)
                like = alike(part, names) if len(names) < _MAX_SCANNED else []
                if len(like) != 1:
                    return None
                part = like[0]  # noqa: PLW2901 - from here on under its own name
            current /= part
        real = current.resolve()
        return real if self._is_allowed(real) else None

    def _not_found(self, reals: Sequence[Path]) -> PathError:
        near = [name for real in reals for name in near_misses(real.name, _names_in(real.parent))]
        near = list(dict.fromkeys(near))
        what, helps = self._explained() or ("", "Check the name and its folder.")
        if near:
            last = Path(self.written).name
            meant = f"Did you mean {' or '.join(shown(name, last) for name in near)}?"
            helps = f"{helps} {meant}" if what else meant
        if helps.endswith(GIVE_FILE) and self.roots:
            folders = ", ".join(str(root.real) for root in self.roots)
            helps = f"{helps.removesuffix('.')}, in an allowed folder ({folders})."
        is_relative = self.roots is not None and not Path(self.written).is_absolute()
        where = " in the allowed folders" if is_relative and not what else ""
        return PathError(
            f"there is no file {show_name(self.asked)}{where}{what and f': it {what}'}",
            help=helps,
            code="file_not_found",
            facts={"near": near} if near else {},
        )

    def _explained(self) -> tuple[str, str] | None:
        if self.written.startswith("~") and os.path.expanduser(self.written) == self.written:  # noqa: PTH111 - it does not raise
            return "begins with ~ and no user's name", "Write the whole path."
        return explained(self.written)

    def _not_allowed(self) -> PathError:
        folders = [str(root.real) for root in self.roots or ()]
        copy = f"Copy the file into {folders[0]} and give the path of the copy. " if folders else ""
        return PathError(
            f"{show_name(self.asked)} is outside the allowed folders "
            f"({', '.join(folders) or 'none'})",
            help=copy + _WHO_ALLOWS,
            code="path_not_allowed",
            facts={"allowed": folders},
        )


def _goes_over_a_link(path: PurePath, root: _Root) -> bool:
    """Whether a `..` follows a link in the folder, where it means another place than it says."""
    place = Path(root.real.anchor)
    for part in (root.real / path).parts[1:]:
        if part != "..":
            place /= part
            continue
        inside = root.place(place)
        if inside and inside.is_symlink():
            return True
        place = place.parent
    return False


def _there(reals: Iterable[Path]) -> dict[Path, os.stat_result]:
    """Those that are there."""
    found = {}
    for real in reals:
        with suppress(FileNotFoundError):
            found[real] = real.lstat()
    return found


def _names_in(folder: Path) -> list[str]:
    try:
        with os.scandir(folder) as entries:
            return [entry.name for entry in islice(entries, _MAX_SCANNED)]
    except OSError:
        return []


def _first_files(folder: Path) -> list[str]:
    """What a caller who named a folder may have meant."""
    if not folder.is_dir():
        return []
    seen = (name for name in _names_in(folder) if not name.startswith("."))
    names = sorted(seen, key=lambda name: (not sounds_like_media(name), name))
    return list(islice((name for name in names if (folder / name).is_file()), MAX_NAMED))


@contextmanager
def _no_path_for_odd_ones(path: str) -> Iterator[None]:
    """What the system cannot take as a path, such as a loop of links, becomes an answer."""
    try:
        yield
    except (OSError, RuntimeError, ValueError) as exc:
        raise _no_path(path) from exc


def _no_path(path: str) -> PathError:
    return PathError(
        f"{show_name(path)} is not a path that can be read",
        help="Give the path of a file.",
        code="not_a_file",
    )
