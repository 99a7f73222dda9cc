"""What a file is: facts, and how they are read out of what ffmpeg says.

Standard output (`-f framecrc`) is made for machines and tells of exactly the tracks that would be
sent. Standard error is made for people and adds what the other does not tell. A file can write
lines of its own into it (a language or the name of a tag with a line break), so what decides how a
track is treated is read behind a mark of ours that the file cannot know: there ffmpeg describes
its output, without any text of the file. What stands before the mark may be said once only.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from ih_mcp.errors import MediaError
from ih_mcp.media.containers.clock_set_backs import SetBack

from .ffmpeg_log import NO_MEDIA

NO_PICTURE = "The file has no picture."
NO_SOUND = "The file has no sound."
_OUTLASTS_SECONDS = 1.0  # chosen: tracks of one recording seldom end together


@dataclass(frozen=True, slots=True, kw_only=True)
class VideoTrack:
    codec: str
    width: int
    height: int
    pixel_format: str | None = None
    frames_per_second: float | None = None
    rotation_degrees: float = 0.0
    """As the container says; kept when the track is copied, applied when it is encoded."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AudioTrack:
    codec: str
    hertz: int
    channels: str = ""
    """`mono`, `stereo`, `5.1`, … as ffmpeg names them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What a file is; the tracks are those that are sent: the first picture, the first sound."""

    container: str
    """As ffmpeg names it: `mov,mp4,m4a,3gp,3g2,mj2`, `matroska,webm`, …"""
    duration_seconds: float | None
    """None where the container does not tell, as in recordings of browsers."""
    start_seconds: float | None = None
    """Of the earliest track, as written in the file; segments start at 0 all the same."""
    video: VideoTrack | None
    audio: AudioTrack | None
    jumps_seconds: float = 0.0
    """By how much its clock jumps, of what was looked through; the duration is without that."""
    set_backs: tuple[SetBack, ...] = ()
    """Where its clock was set back; times go on in what is sent."""
    below_seconds: float = 0.0
    """How far below 0 its times begin. Of Matroska ffmpeg does not tell such times: it counts them
    from 0 on, and goes back to 0 behind them."""
    is_estimated: bool = False
    """Whether the duration is computed from a bit rate."""
    hidden: frozenset[str] = frozenset()
    """Which of `video` and `audio` has parts an edit list hides; copied, they would be shown."""
    changing: frozenset[str] = frozenset()
    """Which of `video` and `audio` change their parameters in the middle; copied, what comes
    behind would play wrong."""
    unmarked: frozenset[str] = frozenset()
    """`video` where pictures can be decoded before the first key frame that is marked, as where a
    file was cut in an open GOP; a copy would leave them out."""
    untimed: frozenset[str] = frozenset()
    """`video` where pictures of Matroska do not tell when they are shown, as those with times below
    0, or of a film out of AVI; a copy would show them in the order in which they are decoded."""
    unsent: tuple[str, ...] = ()
    """Sentences about tracks that are in the file and cannot be sent."""
    lengths: Mapping[str, float] = field(default_factory=dict)
    """Of `video` and `audio`, from 0 to the end of each, in seconds; of those that tell."""
    is_open_ended: bool = False
    """Whether it is of fragments, and has no index that tells whether the last one is there."""
    fragments_seconds: float | None = None
    """How long all fragments are by the header, where it tells."""
    key_frames_seconds: tuple[float, ...] = ()
    """In the part that was looked at, from its first time; empty if none was."""
    absent: frozenset[str] = frozenset()
    """Which of `video` and `audio` have nothing in the part that was looked at."""
    late: frozenset[str] = frozenset()
    """Which of them begin so much later than the other that it cannot wait."""
    is_reordered: bool = False
    """Whether pictures are decoded before they are shown; looked at where a track is late."""

    @property
    def container_name(self) -> str:
        """The first of its names."""
        return self.container.partition(",")[0]

    @property
    def sent_seconds(self) -> float | None:
        """How long the tracks are that are sent, as far as the file tells; from where they begin.

        A clock may start late, as in what is saved of a broadcast; other tracks may last longer.
        """
        if self.present and self.lengths.keys() >= self.present:
            track_seconds = max(self.lengths[name] for name in self.present)
            # ffmpeg writes into MOV how long a track is by when a picture before a jump is shown.
            longest = track_seconds if self.duration_seconds is None else self.duration_seconds
            return min(track_seconds, longest) - self._begins_seconds
        if self.duration_seconds is None:
            return None
        return self.duration_seconds - self._begins_seconds

    @property
    def sound_seconds(self) -> float | None:
        """Likewise of the sound alone; None where the file does not tell."""
        seconds = self.lengths.get("audio")
        return seconds - self._begins_seconds if seconds else None

    @property
    def _begins_seconds(self) -> float:
        return max(0.0, self.start_seconds or 0.0)

    @property
    def present(self) -> frozenset[str]:
        """Of `video` and `audio`."""
        tracks = {"video": self.video, "audio": self.audio}
        return frozenset(name for name, track in tracks.items() if track)

    @property
    def _outlasts(self) -> bool:
        if self.duration_seconds is None or not self.lengths or self.hidden or self.jumps_seconds:
            return False
        sent_to = self._begins_seconds + (self.sent_seconds or 0.0)
        return self.duration_seconds > sent_to + _OUTLASTS_SECONDS

    def notes(self) -> tuple[str, ...]:
        """What a caller should know before it is sent, as sentences."""
        said = (
            (self.video is None, NO_PICTURE),
            (self.audio is None and not self.unsent, NO_SOUND),
            *((True, sentence) for sentence in self.unsent),
            (self.duration_seconds is None, "The file does not tell how long it is."),
            (
                self.jumps_seconds > 0,
                f"The clock of the file jumps by {self.jumps_seconds:.0f} s, which are left out.",
            ),
            (bool(self.set_backs), _set_back_note(self.set_backs)),
            (self._outlasts, "A track that is not sent lasts longer than those that are."),
            (bool(self.hidden), "An edit list hides parts of the file; they are not sent."),
            (bool(self.changing), "What changes its format in the middle is encoded to one."),
            (
                bool(self.unmarked),
                "The file does not begin with a key frame; its picture is encoded to be complete.",
            ),
            (
                bool(self.untimed),
                "Pictures do not tell when they are shown; the picture is encoded to be in order.",
            ),
            (self.is_estimated, "The duration is estimated from the bit rate."),
        )
        return tuple(sentence for is_so, sentence in said if is_so)


def _set_back_note(set_backs: Sequence[SetBack]) -> str:
    if not set_backs:
        return ""
    first, *others = set_backs
    and_again = (
        f", and {len(others)} more {'time' if len(others) == 1 else 'times'}" if others else ""
    )
    return (
        f"The clock of the file is set back, first at {first.at_seconds:.1f} s by "
        f"{first.seconds:.1f} s{and_again}; all of the media is sent, and its times go on from "
        "there."
    )


def require_tracks(
    facts: Facts,
    *,
    video: bool,
    audio: bool,
    file_name: str = "the file",
    sound_models: Sequence[str] = (),
) -> None:
    """Refuse what the API would refuse.

    Args:
        file_name: How the file is called in the error.
        sound_models: What could be asked for instead where there is no picture.

    Raises:
        MediaError: A required track is missing (`no_video`, `no_audio`).
    """
    if video and facts.video is None and facts.audio and sound_models:
        raise MediaError(
            f"{file_name} has no picture; what was asked for needs one",
            help=f"Choose the model {' or '.join(sound_models)} (`model`, or --model), which takes "
            "sound alone, or give a file with a picture.",
            code="no_video",
        )
    for is_missing, code, name in (
        (video and facts.video is None, "no_video", "picture"),
        (audio and facts.audio is None, "no_audio", "sound"),
    ):
        if is_missing:
            raise MediaError(
                f"{file_name} has no {name}; what was asked for needs it",
                help="Choose a model or version that works without it (check_setup with this path, "
                "or `ih-mcp check FILE`, names them), or give another file.",
                code=code,
            )


LINES = re.compile(
    rb"Input #0, |  Duration: |  Stream #0:| +display ?matrix: "
    rb"|    mark  +: | +enc_key_id +: "
    rb"|\[.*\] (?:Estimating duration from bitrate|Picture size |(?:Ext )?DRM protected"
    rb"|File ended prematurely)",
    re.IGNORECASE,
)
"""How the lines of standard error begin that tell something."""

_HEADER = re.compile(r"^#(\w+) (\d+): (.*)$", re.MULTILINE)
_INPUT = re.compile(r"^Input #0, (\S+), from '", re.MULTILINE)
_DURATION = re.compile(
    r"^  Duration: (?:(\d+):(\d+):(\d+\.\d+)|N/A)(?:, start: (-?\d+\.\d+))?", re.MULTILINE
)
_STREAM = re.compile(r"^  Stream #0:(\d+): \w+: (.*)$", re.MULTILINE)
_ROTATION = re.compile(  # ffmpeg 5.1 writes it as one word
    r"^ +display ?matrix: rotation of (-?\d+\.\d+) degrees", re.MULTILINE | re.IGNORECASE
)
_PIXELS = re.compile(r"^(?:[^,(]|\([^)]*\))+, (\w+)")
_RATE = re.compile(r", ([\d.]+)(k?) fps")
_ESTIMATED = re.compile(r"^\[\w[^\]]* @ \w+\] Estimating duration from bitrate", re.MULTILINE)


def parse(packets: str, log: str, mark: str) -> Facts:
    """Facts out of what `commands.probe` wrote to its two outputs.

    Args:
        packets: Standard output.
        log: Standard error; lines that `LINES` does not find may be missing.
        mark: What `commands.probe` was given.

    Raises:
        MediaError: There is neither picture nor sound (`no_media`), or the file imitates what
            ffmpeg says (`imitation`).
    """
    before, marked, ours = log.partition(f"    mark            : {mark}\n")
    tracks = {index: dict[str, str]() for _, index, _ in _HEADER.findall(packets)}
    for name, index, value in _HEADER.findall(packets):
        tracks[index][name] = value
    video = audio = None
    texts = _texts(ours) if marked else {}
    for index, track in tracks.items():
        if track.get("media_type") == "video":
            video = _video(track, texts.get(index, ""))
        elif track.get("media_type") == "audio":
            audio = _audio(track)
    if video is None and audio is None:
        raise no_media()
    container = _once(_INPUT, before)
    if container is None or texts.keys() != tracks.keys():
        raise _imitation()
    duration, start = _times(before)
    return Facts(
        container=container[1],
        duration_seconds=duration,
        start_seconds=start,
        video=video,
        audio=audio,
        is_estimated=_ESTIMATED.search(before, 0, container.start()) is not None,
        hidden=_hidden(packets, tracks),
        untimed=_untimed(packets, tracks) if container[1].startswith("matroska") else frozenset(),
        key_frames_seconds=_key_frames(packets, tracks) if video else (),
        absent=frozenset(
            track["media_type"]
            for index, track in tracks.items()
            if "media_type" in track and not _first_packet(index, packets)
        ),
    )


def _first_packet(index: str, packets: str) -> re.Match[str] | None:
    """When the first packet of a track is decoded, and shown, in ticks."""
    return re.search(rf"^{index},\s*(-?\d+),\s*(-?\d+),", packets, re.MULTILINE)


def has_packets(packets: str) -> bool:
    """Whether there was any media in the part that was looked at."""
    return re.search(r"^\d+,", packets, re.MULTILINE) is not None


def first_times(packets: str) -> tuple[float, float] | None:
    """When the first of a track is decoded, and shown, in what `commands.first_of` wrote.

    None where it wrote of nothing.
    """
    bases = {index: value for name, index, value in _HEADER.findall(packets) if name == "tb"}
    found = _first_packet("0", packets)
    if found is None:
        return None
    tick_seconds = _tick_seconds({"tb": bases["0"]})
    return int(found[1]) * tick_seconds, int(found[2]) * tick_seconds


def _once(pattern: re.Pattern[str], text: str) -> re.Match[str] | None:
    """The only match; ffmpeg says it once, so that another one is a text of the file."""
    found = [*pattern.finditer(text)]
    if len(found) > 1:
        raise _imitation()
    return found[0] if found else None


def _texts(ours: str) -> dict[str, str]:
    """What stands about each of our streams: its line and the indented ones below it."""
    found = [*_STREAM.finditer(ours)]
    ends = [match.start() for match in found[1:]] + [len(ours)]
    texts = {match[1]: ours[match.start(2) : end] for match, end in zip(found, ends, strict=True)}
    if len(texts) < len(found):
        raise _imitation()
    return texts


def _video(track: dict[str, str], text: str) -> VideoTrack:
    width, _, height = track.get("dimensions", "0x0").partition("x")
    pixels, rate, rotation = _PIXELS.match(text), _RATE.search(text), _ROTATION.search(text)
    return VideoTrack(
        codec=track["codec_id"],
        width=int(width),
        height=int(height),
        pixel_format=pixels[1] if pixels and pixels[1] != "none" else None,
        frames_per_second=float(rate[1]) * (1000 if rate[2] else 1) if rate else None,
        rotation_degrees=float(rotation[1]) if rotation else 0.0,
    )


def _audio(track: dict[str, str]) -> AudioTrack:
    return AudioTrack(
        codec=track["codec_id"],
        hertz=int(track.get("sample_rate", "0")),
        channels=track.get("channel_layout_name", ""),
    )


def _times(log: str) -> tuple[float | None, float | None]:
    match = _once(_DURATION, log)
    if match is None:
        return None, None
    hours, minutes, seconds, start = match.groups()
    duration = None if hours is None else int(hours) * 3600 + int(minutes) * 60 + float(seconds)
    return duration, None if start is None else float(start)


def _key_frames(packets: str, tracks: dict[str, dict[str, str]]) -> tuple[float, ...]:
    """Times of packets without a flags field, which are the key frames."""
    index = next(i for i, track in tracks.items() if track.get("media_type") == "video")
    tick_seconds = _tick_seconds(tracks[index])
    found = re.findall(rf"^{index},\s*-?\d+,\s*(-?\d+),[^=\n]*$", packets, re.MULTILINE)
    return tuple(int(time) * tick_seconds for time in found)


def _hidden(packets: str, tracks: dict[str, dict[str, str]]) -> frozenset[str]:
    """Tracks that begin with packets that are decoded and not shown.

    Sound begins so nearly always, by some hundredths of a second that its decoder has to pass.
    """
    found = set()
    for index, track in tracks.items():
        first = re.search(rf"^{index},\s*-?\d+,\s*(-?\d+),[^\n]*?F=0x(\w+)", packets, re.MULTILINE)
        if first and int(first[2], 16) & _DISCARD:
            seconds = -int(first[1]) * _tick_seconds(track)
            if seconds > _PRIMING_SECONDS.get(track["media_type"], 0.0):
                found.add(track["media_type"])
    return frozenset(found)


def _untimed(packets: str, tracks: dict[str, dict[str, str]]) -> frozenset[str]:
    """`video` where a picture does not tell when it is shown; ffmpeg knows it of those in order."""
    indexes = (index for index, track in tracks.items() if track.get("media_type") == "video")
    found = (
        re.search(rf"^{index},[^,]*,\s*{_NO_TIME},", packets, re.MULTILINE) for index in indexes
    )
    return frozenset({"video"} if any(found) else ())


_NO_TIME = -(1 << 63)  # AV_NOPTS_VALUE


def _tick_seconds(track: dict[str, str]) -> float:
    ticks, _, second = track.get("tb", "1/1").partition("/")
    return int(ticks) / int(second)


_DISCARD = 4  # AV_PKT_FLAG_DISCARD
_PRIMING_SECONDS = {"audio": 0.25}


def _imitation() -> MediaError:
    return MediaError(
        "the tags of the file imitate what ffmpeg says about it, so that nothing is sure",
        help="Remove them: ffmpeg -i FILE -map_metadata -1 -c copy CLEAN.mp4",
        code="imitation",
    )


def no_media() -> MediaError:
    return MediaError(
        NO_MEDIA,
        help="Give a video or sound file.",
        code="no_media",
    )
