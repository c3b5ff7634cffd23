"""Images, videos and sounds by themselves: what is kept of them, their sizes, and what is in them.

An item is whatever `stored` takes, and what it gives.
"""

from tunesmith_library_media.holding import Stored, name_of, stored
from tunesmith_library_media.images import image_size, limited, load_image
from tunesmith_library_media.kinds import Kind
from tunesmith_library_media.sounds import AudioFacts, audio_facts, load_audio, samples_heard
from tunesmith_library_media.videos import VideoFacts, frames_shown, load_video, video_facts

__all__ = [
    "AudioFacts",
    "Kind",
    "Stored",
    "VideoFacts",
    "audio_facts",
    "frames_shown",
    "image_size",
    "limited",
    "load_audio",
    "load_image",
    "load_video",
    "name_of",
    "samples_heard",
    "stored",
    "video_facts",
]
