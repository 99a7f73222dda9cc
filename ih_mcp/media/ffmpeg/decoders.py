"""Which codecs of a file are decoded: what cameras, phones, recorders and the web have written.

A decoder is a large surface for a hostile file. ffmpeg has about 500 of them, and few are as well
tried as these; those of games, fonts, subtitles and single pictures are not here.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

_OWN = (  # of one name as codec and as decoder
    # pictures
    *("hevc", "vvc", "mpeg1video", "mpeg2video", "mpeg4", "h261", "h263"),
    *("h263i", "h263p", "msmpeg4v1", "msmpeg4v2", "wmv1", "wmv2", "wmv3", "vc1", "theora", "vp3"),
    *(
        "vp4",
        "vp5",
        "vp6",
        "vp6a",
        "vp6f",
        "vp7",
        "mjpeg",
        "mjpegb",
        "jpeg2000",
        "prores",
        "prores_raw",
        "dnxhd",
    ),
    *("dvvideo", "cfhd", "ffv1", "ffvhuff", "huffyuv", "utvideo", "magicyuv", "lagarith"),
    *("rawvideo", "v210", "qtrle", "rpza", "svq1", "svq3", "cinepak", "msvideo1", "msrle"),
    *("aic", "hqx", "hq_hqa", "r210", "v410", "yuv4", "fraps", "sp5x", "speedhq"),
    *("flashsv", "flashsv2", "tscc2", "zmbv", "mss1", "mss2", "png", "apv", "hap"),
    # sound
    *("aac_latm", "flac", "alac", "ac3", "eac3", "truehd", "mlp"),
    *("wmav1", "wmav2", "wmapro", "wmavoice", "wmalossless", "nellymoser", "qdm2"),
    *("qdmc", "qcelp", "evrc", "ape", "truespeech", "g723_1", "ilbc", "s302m", "tta", "wavpack"),
    *("pcm_s8", "pcm_s8_planar", "pcm_s16be", "pcm_s16be_planar", "pcm_s16le"),
    *("pcm_s16le_planar", "pcm_s24be", "pcm_s24le", "pcm_s24le_planar", "pcm_s32be", "pcm_s32le"),
    *("pcm_s32le_planar", "pcm_s64be", "pcm_s64le", "pcm_u8", "pcm_u16be", "pcm_u16le"),
    *("pcm_u24be", "pcm_u24le", "pcm_u32be", "pcm_u32le", "pcm_f16le", "pcm_f24le", "pcm_f32be"),
    *("pcm_f32le", "pcm_f64be", "pcm_f64le", "pcm_alaw", "pcm_mulaw", "pcm_bluray", "pcm_dvd"),
    *("adpcm_ima_wav", "adpcm_ima_qt", "adpcm_ms", "adpcm_swf", "adpcm_yamaha"),
)

DECODERS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        **{name: (name,) for name in _OWN},
        "h264": ("h264", "libopenh264"),
        "vp8": ("vp8", "libvpx"),
        "vp9": ("vp9", "libvpx-vp9"),
        "aac": ("aac", "libfdk_aac"),
        "opus": ("opus", "libopus"),
        "vorbis": ("vorbis", "libvorbis"),
        "speex": ("speex", "libspeex"),
        "gsm": ("gsm", "libgsm"),
        "gsm_ms": ("gsm_ms", "libgsm_ms"),
        "tscc": ("camtasia",),
        "cscd": ("camstudio",),
        "mp4als": ("als",),
        "av1": ("libdav1d", "libaom-av1"),
        "flv1": ("flv",),
        "msmpeg4v3": ("msmpeg4",),
        "mp1": ("mp1float", "mp1"),
        "mp2": ("mp2float", "mp2"),
        "mp3": ("mp3float", "mp3"),
        "dts": ("dca",),
        "amr_nb": ("amrnb", "libopencore_amrnb"),
        "amr_wb": ("amrwb", "libopencore_amrwb"),
        "adpcm_g722": ("g722",),
        "adpcm_g726": ("g726",),
        "adpcm_g726le": ("g726le",),
    }
)
"""By codec, each as ffmpeg names it. Libraries stand in where ffmpeg has none of its own."""

WHITELIST = ",".join(name for names in DECODERS.values() for name in names)
"""As ffmpeg takes it."""
