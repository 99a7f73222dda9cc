"""What a file is that is not read, by how it begins: a refusal can call it by its name."""

from __future__ import annotations

from typing import BinaryIO

_PICTURE, _PLAYLIST, _SCRIPT = "a picture", "a playlist", "a script that names other files"
_ROWS: tuple[tuple[bytes, str], ...] = (
    (b"\x89PNG", _PICTURE),
    (b"\xff\xd8\xff", _PICTURE),
    (b"GIF8", "a picture, or an animation of pictures"),
    (b"BM", _PICTURE),
    (b"II*\0", _PICTURE),
    (b"MM\0*", _PICTURE),
    (b"\0\0\0\x0cJXL ", _PICTURE),
    (b"\xff\x0a", _PICTURE),
    (b"8BPS", _PICTURE),
    (b"#EXTM3U", _PLAYLIST),
    (b"[playlist]", _PLAYLIST),
    (b"<MPD", _PLAYLIST),
    (b"ffconcat", _SCRIPT),
    (b"v=0", "the description of a session"),
    (b"%PDF", "a document"),
    (b"PK\x03\x04", "an archive"),
    (b"\x1f\x8b", "an archive"),
    (b"7z\xbc\xaf", "an archive"),
    (b"Rar!", "an archive"),
    (b".RMF", "a RealMedia file"),
    (b"FWS", "a Flash program"),
    (b"CWS", "a Flash program"),
    (b"MThd", "music as notes (MIDI)"),
)
_READ_BYTES = 512


def named(file: BinaryIO) -> str:
    """A noun for it, or nothing where its beginning does not tell."""
    file.seek(0)
    head = file.read(_READ_BYTES)
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return _PICTURE
    found = (name for magic, name in _ROWS if head.startswith(magic))
    return next(found, None) or _text(head)


def _text(head: bytes) -> str:
    try:
        text = head[:-3].decode()  # the last character may be cut
    except UnicodeDecodeError:
        return ""
    if "<MPD" in text:
        return _PLAYLIST
    is_text = all(character.isprintable() or character in "\t\r\n\f\ufeff" for character in text)
    return "text" if is_text and text else ""
