"""Sounds: how many samples they have, and the samples at the rate at which a model hears them."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy
from tunesmith.errors import DataError

from tunesmith_library_media.containers import opened, packets, stream_of
from tunesmith_library_media.holding import name_of

if TYPE_CHECKING:
    from av.container import InputContainer
    from numpy.typing import NDArray

_BEHIND = 4_096  # samples of silence
_EXACT = ("pcm_", "flac", "alac")  # codecs whose packets say how many samples come out of them


@dataclass(frozen=True)
class AudioFacts:
    """What is known of a sound before it is heard."""

    samples: int  # of each channel
    sampling_rate: int  # per second
    channels: int

    @property
    def seconds(self) -> float:
        return self.samples / self.sampling_rate


def audio_facts(item: Any) -> AudioFacts:
    """Samples, rate and channels of a sound, or of the sound of a video.

    The packets of PCM and FLAC say how many samples they have; lossy ones are decoded, for they do not.

    Raises: DataError for what is no sound, has no samples, or is cut off.
    """
    with opened(item, "audio") as container:
        stream = stream_of(container, "audio")
        context = stream.codec_context
        rate, channels = int(context.sample_rate or 0), int(context.channels)
        if rate < 1:
            raise DataError("it does not say how many samples a second has")
        _, length = packets(container, stream)
        samples = round(length * (stream.time_base or 0) * rate)
        if not samples or not context.name.startswith(_EXACT):
            container.seek(0)
            samples = sum(chunk.shape[-1] for chunk in _decoded(container, stream))
        if not samples:
            raise DataError("it has no samples")
    return AudioFacts(samples, rate, channels)


def samples_heard(facts: AudioFacts, sampling_rate: int, most_seconds: float | None = None) -> int:
    """How many samples a sound has at another rate.

    Args:
        sampling_rate: samples per second.
        most_seconds: that are heard; None for all.
    """
    whole = math.ceil(facts.samples * sampling_rate / facts.sampling_rate)
    return whole if most_seconds is None else max(1, min(whole, int(most_seconds * sampling_rate)))


def load_audio(item: Any, sampling_rate: int, most_seconds: float | None = None) -> NDArray[numpy.float32]:
    """The samples of a sound, or of the sound of a video: the mean of its channels.

    Args:
        sampling_rate, most_seconds: see `samples_heard`.

    Returns: float32 (samples,), as many as `samples_heard` says.
    Raises: DataError for what is no sound, has no samples, or is broken.
    """
    with opened(item, "audio") as container:
        stream = stream_of(container, "audio")
        rate = int(stream.codec_context.sample_rate or 0)
        most = None if most_seconds is None else math.ceil((most_seconds + 1) * rate)  # a second more for resampling
        chunks: list[NDArray[numpy.float32]] = []
        found = 0
        for chunk in _decoded(container, stream):
            chunks.append(chunk.mean(0, dtype=numpy.float32))
            found += chunk.shape[-1]
            if most is not None and found >= most:
                break
        channels = int(stream.codec_context.channels)
    if not found or rate < 1:
        raise DataError(f"{name_of(item, 'audio')}: it has no samples")
    wanted = samples_heard(AudioFacts(found, rate, channels), sampling_rate, most_seconds)
    samples = _resampled(numpy.concatenate(chunks), rate, sampling_rate)[:wanted]
    return numpy.pad(samples, (0, wanted - len(samples)))


def _decoded(container: InputContainer, stream: Any) -> Iterator[NDArray[numpy.float32]]:
    """The samples, float32 (channels, samples) at a time."""
    import av

    planar = av.AudioResampler(format="fltp")  # the same rate and channels, in one form
    for frame in container.decode(stream):
        for part in planar.resample(frame):
            yield part.to_ndarray().astype(numpy.float32, copy=False)


def _resampled(samples: NDArray[numpy.float32], rate: int, other: int) -> NDArray[numpy.float32]:
    """(samples,) of one rate at another one."""
    if rate == other:
        return samples
    import av

    ended = numpy.pad(samples, (0, _BEHIND))  # or the last samples, and very short sounds, would not come out
    frame = av.AudioFrame.from_ndarray(ended[None], format="flt", layout="mono")
    frame.sample_rate = rate
    resampler = av.AudioResampler(format="flt", layout="mono", rate=other)
    parts = [*resampler.resample(frame), *resampler.resample(None)]
    made: NDArray[numpy.float32] = numpy.concatenate([part.to_ndarray()[0] for part in parts])
    return made
