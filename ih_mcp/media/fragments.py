"""An MP4 stream as fragments: each a `moof` box and the `mdat` that follows it."""

from __future__ import annotations

import struct
import sys
from collections.abc import Generator
from dataclasses import replace

from .boxes import Film, film_of
from .parts import MAX_HEADER_BYTES, Atom, Entry, bad_container, too_large_header
from .pieces import Pieces
from .samples import Run, atom_of, runs_of, shown

_KEPT = frozenset({b"ftyp", b"moov", b"moof"})
_MAX_KEPT_BYTES = 1 << 26  # chosen: the index of a film of many hours is smaller


class Mp4Reader:
    """Finds the fragments of an MP4 stream. A plain file has none: it is header and media."""

    def __init__(self) -> None:
        self._pieces = Pieces()
        self._parser = self._parse()
        self._film = Film()
        self._header = bytearray()
        self._header_bytes = 0
        self._moov_offset: int | None = None
        self._atoms: list[Atom] = []
        self._reached = 0.0
        self._is_placed = False
        self.has_media = False
        self.entries: list[Entry] = []

    @property
    def header(self) -> bytes | None:
        is_kept = self._moov_offset is not None and self._header_bytes <= MAX_HEADER_BYTES
        return bytes(self._header) if is_kept else None

    @property
    def reached_seconds(self) -> float:
        return self._reached

    def feed(self, data: bytes) -> list[Atom]:
        self.entries = []
        try:
            self._pieces.feed(data, self._parser)
        except (struct.error, IndexError, ZeroDivisionError) as exc:
            raise bad_container("a box of the MP4 stream is damaged") from exc
        except StopIteration:
            raise bad_container("the MP4 stream was damaged before") from None
        atoms, self._atoms = self._atoms, []
        return atoms

    def finish(self) -> list[Atom]:
        return []

    def head(self) -> Mp4Head:
        assert self._moov_offset is not None
        if self._header_bytes > MAX_HEADER_BYTES:
            raise too_large_header(self._header_bytes)
        if self._is_placed:
            raise bad_container(
                "fragments of the MP4 stream say where in it their media is; they cannot be moved"
            )
        return Mp4Head(bytes(self._header), self._moov_offset, self._film)

    def _parse(self) -> Generator[None, None, None]:
        atom: Atom | None = None
        while True:
            start = self._pieces.position
            kind, header, size = yield from self._box_header()
            self.has_media = self.has_media or kind in {b"moof", b"mdat"}
            if kind not in _KEPT:
                yield from self._pieces.skip(size - len(header))
                if kind == b"mdat" and atom:
                    self._atoms.append(replace(atom, size=self._pieces.position - atom.offset))
                    atom = None
                continue
            box = header + (yield from self._pieces.read(size - len(header)))
            if kind == b"moof":
                atom = self._begun(start, runs_of(box, self._film))
            else:
                self._take_header(kind, box)

    def _box_header(self) -> Generator[None, None, tuple[bytes, bytes, int]]:
        header = yield from self._pieces.read(8)
        size, kind = struct.unpack(">I4s", header)
        if size == 1:
            header += yield from self._pieces.read(8)
            (size,) = struct.unpack_from(">Q", header, 8)
        elif size == 0:  # to the end of the stream
            size = sys.maxsize
        if size < len(header) or (kind in _KEPT and size > _MAX_KEPT_BYTES):
            raise bad_container(f"a {kind!r} box of the MP4 stream claims {size} bytes")
        return kind, header, size

    def _begun(self, offset: int, runs: list[Run]) -> Atom | None:
        """A fragment whose media is still to come."""
        if not runs:
            return None
        self._reached = max([self._reached, *(shown(run, self._film)[1] for run in runs)])
        atom = atom_of(offset, runs, self._film)
        self._is_placed = self._is_placed or any(run.is_placed for run in runs)
        if atom.is_key and (not self._is_placed or offset == self._header_bytes):
            self.entries.append(Entry(offset, atom.start_seconds))
        return atom

    def _take_header(self, kind: bytes, box: bytes) -> None:
        if self._moov_offset is not None:
            raise bad_container("a second MP4 header stands within the stream")
        if kind == b"moov":
            self._moov_offset = self._header_bytes
            self._film = film_of(box)
            self._reached = self._film.seconds
        self._header += box
        self._header_bytes += len(box)
        if self._header_bytes > MAX_HEADER_BYTES:
            self._header.clear()


class Mp4Head:
    """`ftyp` and `moov` for media that begins anew."""

    def __init__(self, header: bytes, moov_offset: int, film: Film) -> None:
        self._header = bytearray(header)
        self._moov_offset = moov_offset
        self._film = film
        for edit in film.edits:
            if not edit.is_empty:  # nothing is hidden, so that every segment lasts as it declares
                self._write(edit.offset, edit.width, film.tracks[edit.track].shown_lag)

    @property
    def size(self) -> int:
        return len(self._header)

    def filled(self, start_seconds: float, seconds: float | None, payload_bytes: int) -> bytes:
        del payload_bytes  # told by the boxes behind
        for at, width, timescale in self._film.lengths:
            self._write(at, width, round((seconds or 0.0) * timescale))
        for edit in self._film.edits:
            if edit.is_empty:
                delay = max(0.0, self._film.tracks[edit.track].delay_seconds - start_seconds)
                kept = delay if seconds is None else min(delay, seconds)
                self._write(edit.offset, edit.width, round(kept * self._film.timescale))
        return bytes(self._header)

    def _write(self, at: int, width: int, value: int) -> None:
        at += self._moov_offset
        self._header[at : at + width] = min(value, (1 << 8 * width) - 1).to_bytes(width, "big")
