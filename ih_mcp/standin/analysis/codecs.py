"""What kinds of pictures and sound are taken, and how another one is refused.

seen: H.264 in MP4 and VP8 in WebM are taken on streams, MPEG-4 Part 2 is refused (`ih5004`); docs
(error catalog) know `ih5003` for a file of a codec that cannot be decoded. Which others the
service takes is not published; chosen: what browsers record and the containers it names carry.
"""

from __future__ import annotations

import re

STRICTLY_TAKEN = frozenset({"h264", "hevc", "vp8", "vp9", "av1"})
"""Of pictures, as ffmpeg names codecs; where strict, no other."""

DECODERS = (  # by the names of ffmpeg's decoders; libraries of their own may stand in for its own
    *("h264", "libopenh264", "hevc", "vp8", "libvpx", "vp9", "libvpx-vp9"),
    *("av1", "libdav1d", "libaom-av1", "mpeg2video", "mjpeg", "theora"),
    *("opus", "libopus", "vorbis", "libvorbis", "aac", "aac_latm", "libfdk_aac"),
    *("mp3float", "mp3", "mp2float", "mp2", "flac", "alac", "ac3", "eac3"),
    *("pcm_s16le", "pcm_s16be", "pcm_s24le", "pcm_s32le", "pcm_f32le", "pcm_u8"),
    *("pcm_alaw", "pcm_mulaw"),
)
"""What may be decoded."""

_NOT_TAKEN = re.compile(r"codec \((\w+)\) not on whitelist.*", re.IGNORECASE)  # ffmpeg 5 to 9


def shorten_complaint(what: str) -> str:
    """What ffmpeg said, without the list of what would be taken."""
    return _NOT_TAKEN.sub(r"the codec \1 is not taken; send H.264, VP8 or VP9", what)
