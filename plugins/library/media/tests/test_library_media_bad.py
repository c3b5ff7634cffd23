"""Images, videos and sounds as they should not be, each with what becomes of it: turned, converted, counted or refused.

Files are made here, by PIL, FFmpeg and the standard library's `wave`, and broken byte by byte.
"""

import base64
import io
import os
import wave
import zlib

import numpy
import pytest
import soundfile
from tunesmith import DataError
from tunesmith_library_formats import tallying
from tunesmith_library_media.items import (
    audio_facts,
    frames_shown,
    image_size,
    limited,
    load_audio,
    load_image,
    load_video,
    stored,
    video_facts,
)
from tunesmith_library_media.options import MediaOptions

av = pytest.importorskip("av")
Image = pytest.importorskip("PIL.Image")


def picture(mode="RGB", size=(6, 4), colour=(200, 100, 50), **saved):
    file = io.BytesIO()
    image = mode if isinstance(mode, Image.Image) else Image.new(mode, size, colour)
    image.save(file, **{"format": "PNG", **saved})
    return file.getvalue()


def noise(format, size=(64, 48), **saved):
    pixels = numpy.random.default_rng(0).integers(0, 256, (size[1], size[0], 3), dtype=numpy.uint8)
    return picture(Image.fromarray(pixels), format=format, **saved)


def video(frames=10, size=(32, 16), fps=5, format="mp4", codec="mpeg4", sound=False):
    file = io.BytesIO()
    with av.open(file, "w", format=format) as container:
        stream = container.add_stream(codec, rate=fps, width=size[0], height=size[1], pix_fmt="yuv420p")
        for index in range(frames):
            grey = numpy.full((size[1], size[0], 3), 20 * index % 256, numpy.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(grey, format="rgb24")))
        container.mux(stream.encode())
    return file.getvalue()


def sound(samples=16_000, rate=16_000, channels=1, width=2, values=None):
    if values is None:
        values = numpy.sin(2 * numpy.pi * 440 * numpy.arange(samples) / rate)
    whole = (numpy.repeat(values[:, None], channels, 1) * (2 ** (8 * width - 1) - 1)).astype(f"<i{width}")
    file = io.BytesIO()
    with wave.open(file, "wb") as made:
        made.setparams((channels, width, rate, len(values), "NONE", ""))
        made.writeframes(whole.tobytes())
    return file.getvalue()


JPEG, PNG, WAV = noise("JPEG"), noise("PNG"), sound()
MP4 = video()
TEXT = b"<!DOCTYPE html>\nthe page is not there, but here is a long text about it\n" * 20


@pytest.mark.parametrize(
    ("data", "pixel"),
    [
        (picture("CMYK", colour=(0, 255, 255, 0), format="JPEG", quality=100), (254, 0, 0)),
        (picture("CMYK", colour=(0, 255, 255, 0), format="TIFF"), (255, 0, 0)),
        (picture(Image.new("RGB", (6, 4), (200, 100, 50)).quantize(4)), (200, 100, 50)),  # a palette
        (picture("L", colour=77), (77, 77, 77)),
        (picture("1", colour=1), (255, 255, 255)),
        (picture(Image.fromarray(numpy.full((4, 6), 257 * 77, numpy.uint16))), (77, 77, 77)),  # 16 bits
        (picture("I", colour=257 * 77, format="TIFF"), (77, 77, 77)),
        (picture("F", colour=0.2, format="TIFF"), (51, 51, 51)),  # from 0 to 1
        (picture("RGBA", colour=(200, 0, 0, 0)), (255, 255, 255)),  # what cannot be seen is white
        (picture("RGBA", colour=(200, 0, 0, 51)), (244, 204, 204)),  # a fifth of red on white
        (picture("LA", colour=(0, 0)), (255, 255, 255)),
        (picture(Image.new("P", (6, 4), 0), transparency=0), (255, 255, 255)),
        (picture("RGB", colour=(1, 2, 3), format="WEBP", lossless=True), (1, 2, 3)),
        (picture("RGB", colour=(1, 2, 3), format="BMP"), (1, 2, 3)),
        (picture("RGB", colour=(1, 2, 3), format="PPM"), (1, 2, 3)),
        (picture("YCbCr", colour=(128, 128, 128), format="JPEG", quality=100), (128, 128, 128)),
    ],
)
def test_images_of_all_modes_become_rgb(data, pixel):
    image = load_image(data)
    assert (image.mode, image.size, image_size(data)) == ("RGB", (6, 4), (6, 4))
    assert numpy.allclose(image.getpixel((2, 2)), pixel, atol=2)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_images_stand_as_their_exif_says(orientation):
    upright = numpy.zeros((40, 80, 3), numpy.uint8)
    upright[:20, :40] = 255  # white at the top left
    undone = {1: lambda a: a, 2: lambda a: a[:, ::-1], 3: lambda a: a[::-1, ::-1], 4: lambda a: a[::-1],
              5: lambda a: a.swapaxes(0, 1), 6: lambda a: numpy.rot90(a, 1),
              7: lambda a: a[::-1, ::-1].swapaxes(0, 1), 8: lambda a: numpy.rot90(a, -1)}  # fmt: skip
    lying = Image.fromarray(numpy.ascontiguousarray(undone[orientation](upright)))
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = picture(lying, exif=exif.tobytes())
    assert image_size(data) == (80, 40)
    assert (numpy.asarray(load_image(data)) == upright).all()
    assert (numpy.asarray(load_image(stored(Image.open(io.BytesIO(data))))) == upright).all()


def test_a_broken_exif_leaves_an_image_as_it_lies():
    data = noise("JPEG", exif=b"Exif\0\0MM\0*\0\0\xff\xff")
    assert image_size(data) == load_image(data).size == (64, 48)


def test_small_images_and_long_ones_are_read():
    for size in ((1, 1), (1, 3000), (3000, 1)):
        assert load_image(picture(size=size)).size == image_size(picture(size=size)) == size


def test_limits_keep_the_proportions():
    assert limited((200, 100), None, 5_000) == (100, 50)
    assert limited((20, 10), 5_000, None) == (100, 50)
    assert limited((200, 100), 10, 100_000) == (200, 100)
    assert limited((4000, 1), None, 10) == (200, 1)
    assert load_image(PNG, None, 768).size == (32, 24)


@pytest.mark.parametrize("format", ["GIF", "WEBP", "PNG", "TIFF"])
def test_of_several_frames_the_first_is_shown_and_that_is_counted(format):
    frames = [Image.new("RGB", (6, 4), colour) for colour in ((255, 0, 0), (0, 255, 0), (0, 0, 255))]
    options = {"lossless": True} if format == "WEBP" else {}
    data = picture(frames[0], format=format, save_all=True, append_images=frames[1:], **options)
    with tallying() as tally:
        assert image_size(data) == (6, 4)
    assert [share.count for share in tally.shares.values()] == [1]
    assert "of which the first is shown" in next(iter(tally.shares))
    assert load_image(data).getpixel((0, 0)) == (255, 0, 0)


def bomb():
    """A PNG whose head says 20,000 × 20,000."""
    head = bytearray(PNG)
    head[16:24] = (20_000).to_bytes(4, "big") * 2
    head[29:33] = zlib.crc32(head[12:29]).to_bytes(4, "big")
    return bytes(head)


BAD_IMAGES = {
    "nothing": (b"", "0 bytes"),
    "text": (TEXT, r"it is no image, or broken \(PNG, JPEG.*it begins with b'<!DOCTYPE html>"),
    "sound": (WAV, "it is no image"),
    "video": (MP4, "it is no image"),
    "vector": (b'<svg xmlns="http://www.w3.org/2000/svg"/>', "it is no image"),
    "bomb": (bomb(), "too large to be decoded.*400000000 pixels"),
    "half a head": (PNG[:20], "it is broken|it is no image"),
    "a head alone": (PNG[:33], "it is broken|it is no image"),
    "cut png": (PNG[: len(PNG) // 2], "it is broken.*truncated"),
    "cut jpeg": (JPEG[: len(JPEG) // 2], "it is broken.*truncated"),
    "cut jpeg at its end": (JPEG[:-400], "it is broken.*truncated"),
    "cut webp": (noise("WEBP")[:-200], "it is broken"),
    "cut gif": (noise("GIF")[:-800], "it is broken.*truncated"),
    "cut bmp": (noise("BMP")[:-200], "it is broken.*truncated"),
    "cut tiff": (noise("TIFF")[:400], "it is broken|it is no image"),
    "no brightness": (picture("F", colour=-3.0, format="TIFF"), "its pixels go from -3 to -3"),
}


@pytest.mark.parametrize("name", [name for name in BAD_IMAGES if name != "no brightness"])
def test_bad_images_are_refused_before_they_are_shown(name, tmp_path):
    data, said = BAD_IMAGES[name]
    (tmp_path / "bad.jpg").write_bytes(data)
    for item in (data, str(tmp_path / "bad.jpg"), {"path": str(tmp_path / "bad.jpg"), "bytes": None}):
        with pytest.raises(DataError, match=said):
            image_size(item)
    with pytest.raises(DataError, match=r"image .*bad\.jpg"):
        image_size(tmp_path / "bad.jpg")


@pytest.mark.parametrize("name", BAD_IMAGES)
def test_bad_images_are_refused_when_they_are_loaded(name):
    data, said = BAD_IMAGES[name]
    with pytest.raises(DataError, match=said):
        load_image(data)


def test_what_is_damaged_within_is_refused_when_it_is_loaded():
    slope = numpy.arange(120_000, dtype=numpy.uint8).reshape(200, 200, 3) // 3
    damaged = bytearray(picture(Image.fromarray(slope)))
    damaged[45:60] = b"\xff" * 15  # where the compressed pixels begin
    assert image_size(bytes(damaged)) == (200, 200)
    with pytest.raises(DataError, match="it is broken"):
        load_image(bytes(damaged))


def test_bytes_behind_the_end_of_a_jpeg_do_no_harm():
    assert image_size(JPEG + TEXT) == load_image(JPEG + b"\0" * 300).size == (64, 48)


def test_files_that_are_none_are_refused(tmp_path):
    (tmp_path / "cat.jpg").write_bytes(JPEG)
    os.mkfifo(tmp_path / "pipe.jpg")
    for path, said in (
        ("cat.jpeg", r"there is no such file; did you mean cat\.jpg\?"),
        ("gone/cat.jpg", r"there is no such file, nor a folder .*gone"),
        ("", "it is a directory; a file is needed"),
        ("pipe.jpg", "no regular file"),
        ("cat.jpg/cat.jpg", "it cannot be read"),
        ("a\0b", "it cannot be read"),
        ("x" * 3000, "it cannot be read"),
    ):
        with pytest.raises(DataError, match=said):
            image_size(f"{tmp_path}/{path}")


@pytest.mark.parametrize(
    ("item", "said"),
    [
        (7, "an image is given as a path, bytes.*not as int"),
        (None, "not as NoneType"),
        ({}, "this mapping has nothing"),
        ({"name": "a.jpg"}, "this mapping has `name`"),
        ({"bytes": [1, 2, 300]}, "numbers from 0 to 255"),
        ("data:image/png;base64", "no comma"),
        ("data:audio/wav;base64,AAAA", "a data URL of audio/wav is given where an image is needed"),
        ("data:image/png;base64,A*", "is no base64"),
        ("https://example.org/a.jpg", r"'example\.org' may not be asked; model\.media\.hosts names"),
        ("http://127.0.0.1/a.jpg", "may not be asked"),
        (numpy.zeros((5, 6, 7), numpy.uint8), "must be H×W×3, found 5×6×7"),
        (numpy.zeros((0, 6, 3), numpy.uint8), "found 0×6×3"),
        (numpy.full((4, 6, 3), 300), "must be uint8, or float from 0 to 1, found int64 from 300 to 300"),
    ],
)
def test_items_that_are_none_are_refused(item, said):
    with pytest.raises(DataError, match=said):
        stored(item, "image")


def test_the_same_image_is_read_whatever_it_is_given_as(tmp_path):
    (tmp_path / "a.png").write_bytes(PNG)
    expected = numpy.asarray(Image.open(io.BytesIO(PNG)))
    coded = base64.b64encode(PNG).decode()
    path = tmp_path / "a.png"
    assert stored(path) == {"path": str(path), "bytes": None}
    items = [path, str(path), path.as_uri(), PNG, bytearray(PNG), coded, f"data:image/png;base64,{coded}",
             {"path": "a.png", "bytes": PNG}, {"path": str(path), "bytes": None}, {"bytes": list(PNG)},
             {"url": str(path)}, {"base64": coded},
             Image.open(path), expected, expected.transpose(2, 0, 1), expected / 255.0]  # fmt: skip
    for item in items:
        assert (numpy.asarray(load_image(stored(item))) == expected).all()
        assert image_size(item) == (64, 48)


def test_videos_are_known_before_they_are_decoded(tmp_path):
    facts = video_facts(MP4)
    assert (facts.frames, facts.fps, facts.width, facts.height, facts.sound) == (10, 5.0, 32, 16, False)
    assert facts.seconds == 2.0
    assert frames_shown(facts, 2.0, 128) == [0, 3, 6, 9]
    assert frames_shown(facts, 2.0, 2) == [0, 9]
    assert frames_shown(facts, 100.0, 128) == list(range(10))
    assert frames_shown(facts, 0.1, 128) == [0]
    frames, seconds = load_video(MP4, MediaOptions())
    assert (frames.shape, frames.dtype, seconds) == ((4, 16, 32, 3), numpy.uint8, [0.0, 0.6, 1.2, 1.8])
    assert numpy.allclose(frames.mean((1, 2, 3)), [0, 60, 120, 180], atol=4)
    assert load_video(MP4, MediaOptions(video_max_pixels=128))[0].shape == (4, 8, 16, 3)
    assert video_facts(video(format="avi")).frames == video_facts(video(format="matroska")).frames == 10


@pytest.mark.parametrize("format", ["mp4", "matroska", "avi"])
def test_frames_are_the_same_whether_all_before_them_are_decoded(format):
    data = video(frames=60, fps=10, format=format)  # of the frames each twelfth stands by itself
    with av.open(io.BytesIO(data)) as container:
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    for most in (1, 2, 3, 5, 128):
        wanted = frames_shown(video_facts(data), 10.0, most)
        shown, _ = load_video(data, MediaOptions(video_fps=10.0, video_max_frames=most))
        assert (shown == numpy.stack([frames[index] for index in wanted])).all()


def test_a_video_that_lies_is_turned():
    lying = bytearray(MP4)
    at = lying.rfind((0x00010000).to_bytes(4, "big") + bytes(12) + (0x00010000).to_bytes(4, "big"))
    matrix = (0, 1, 0, -1, 0, 0, 16, 0)  # of phones that are held upright: a quarter with the clock
    fixed = b"".join((value * 0x10000).to_bytes(4, "big", signed=True) for value in matrix)
    lying[at : at + len(fixed)] = fixed
    facts = video_facts(bytes(lying))
    assert (facts.width, facts.height) == (16, 32)
    assert load_video(bytes(lying), MediaOptions())[0].shape == (4, 32, 16, 3)


def test_videos_may_be_arrays_or_lists_of_images(tmp_path):
    frames = numpy.stack([numpy.full((8, 12, 3), value, numpy.uint8) for value in (10, 20, 30)])
    for index, frame in enumerate(frames):
        Image.fromarray(frame).save(tmp_path / f"{index}.png")
    paths = [str(tmp_path / f"{index}.png") for index in range(3)]
    for item in (frames, frames.transpose(0, 3, 1, 2), paths, [{"path": path} for path in paths],
                 [Image.open(path) for path in paths]):  # fmt: skip
        kept = stored(item, "video")
        assert (video_facts(kept).frames, video_facts(kept).width, video_facts(kept).height) == (3, 12, 8)
        shown, seconds = load_video(kept, MediaOptions())
        assert (shown == frames).all()
        assert seconds == [0.0, 1.0, 2.0]
    with pytest.raises(DataError, match="needs at least one"):
        stored([], "video")
    with pytest.raises(DataError, match="T×H×W×3, found 8×12×3"):
        stored(frames[0], "video")


def cover():
    """A sound with the picture of its cover, as music has it."""
    file = io.BytesIO()
    with av.open(file, "w", format="mp3") as container:
        stream = container.add_stream("mp3", rate=16_000)
        art = container.add_stream("png", rate=1, width=8, height=8, pix_fmt="rgb24")
        art.disposition = av.stream.Disposition.attached_pic.value
        frame = av.AudioFrame.from_ndarray(numpy.zeros((1, 1152), "<f4"), format="fltp", layout="mono")
        frame.sample_rate = 16_000
        picture = av.VideoFrame.from_ndarray(numpy.zeros((8, 8, 3), numpy.uint8), format="rgb24")
        container.mux([*art.encode(picture), *art.encode()])
        container.mux([*stream.encode(frame), *stream.encode()])
    return file.getvalue()


BAD_VIDEOS = {
    "nothing": (b"", "0 bytes"),
    "text": (TEXT, "it is no video, or broken"),
    "image": (PNG, "it is no video"),
    "photograph": (JPEG, "it is no video"),
    "sound": (WAV, "there is no video in it, but audio"),
    "cover": (cover(), "there is no video in it"),
    "no index": (MP4[: len(MP4) // 2], "it is no video, or broken|there is no video in it"),
    "playlist": (b"#EXTM3U\n#EXTINF:1,\n/etc/passwd\n#EXT-X-ENDLIST\n", "it is no video, or broken"),
    "list of files": (b"ffconcat version 1.0\nfile /etc/passwd\n", "it is no video, or broken"),
    "broken array": (b"\x93NUMPY" + bytes(10), "its array is broken"),
}


def no_frames():
    data = bytearray(MP4)
    at = data.find(b"stsz") + 8  # the table of the frames' sizes: each has nothing
    data[at : at + 4 + 4 + 40] = bytes(48)
    return bytes(data)


@pytest.mark.parametrize("name", BAD_VIDEOS)
def test_bad_videos_are_refused(name):
    data, said = BAD_VIDEOS[name]
    for read in (video_facts, lambda item: load_video(item, MediaOptions())):
        with pytest.raises(DataError, match=said):
            read(data)


def test_a_video_without_frames_is_refused():
    with pytest.raises(DataError, match=r"no frames|broken"):
        video_facts(no_frames())


def test_a_video_whose_end_is_missing_is_refused(tmp_path):
    path = tmp_path / "a.mp4"
    with av.open(str(path), "w", options={"movflags": "faststart"}) as container:  # its index comes first
        stream = container.add_stream("mpeg4", rate=5, width=64, height=64, pix_fmt="yuv420p")
        generator = numpy.random.default_rng(0)
        for _ in range(10):
            pixels = generator.integers(0, 256, (64, 64, 3), dtype=numpy.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(stream.encode())
    data = path.read_bytes()
    assert video_facts(data).frames == 10
    with pytest.raises(DataError, match=r"it is cut off: [3-6] of 10 frames are there"):
        video_facts(data[: len(data) // 2])
    avi = video(frames=40, size=(128, 128), format="avi")
    assert video_facts(avi).frames == 40
    with pytest.raises(DataError, match="it is cut off"):
        video_facts(avi[: len(avi) // 2])


def test_sounds_are_heard_at_the_rate_of_the_model():
    facts = audio_facts(WAV)
    assert (facts.samples, facts.sampling_rate, facts.channels, facts.seconds) == (16_000, 16_000, 1, 1.0)
    same = load_audio(WAV, 16_000)
    expected = numpy.sin(2 * numpy.pi * 440 * numpy.arange(16_000) / 16_000)
    assert same.dtype == numpy.float32
    assert numpy.abs(same - expected).max() < 1e-4
    slower = load_audio(WAV, 8_000)
    assert len(slower) == 8_000
    exact = numpy.sin(2 * numpy.pi * 440 * numpy.arange(8_000) / 8_000)
    assert numpy.abs(slower - exact)[100:-100].max() < 1e-2
    assert len(load_audio(WAV, 16_000, 0.25)) == 4_000
    assert len(load_audio(WAV, 44_100, 5.0)) == 44_100


@pytest.mark.parametrize(
    "item",
    [
        sound(samples=1),
        sound(values=numpy.zeros(16_000)),  # silence
        sound(channels=2),
        sound(width=4),
        sound(rate=44_100),
        {"array": [0.0, 0.5, -0.5], "sampling_rate": 8_000},
        {"array": numpy.zeros((2, 100), numpy.int16), "sampling_rate": 8_000.0},
    ],
)
def test_sounds_of_many_forms_are_heard(item):
    kept = stored(item, "audio")
    facts = audio_facts(kept)
    assert len(load_audio(kept, facts.sampling_rate)) == facts.samples
    assert numpy.isfinite(load_audio(kept, 12_345)).all()


def test_channels_are_heard_by_their_mean():
    left, right = numpy.full(1_000, 0.5, numpy.float32), numpy.full(1_000, -0.1, numpy.float32)
    kept = stored({"array": numpy.stack([left, right]), "sampling_rate": 1_000}, "audio")
    assert numpy.allclose(load_audio(kept, 1_000), 0.2)


def flac():
    file = io.BytesIO()
    soundfile.write(file, numpy.random.default_rng(0).uniform(-1, 1, 16_000), 16_000, format="FLAC")
    return file.getvalue()


BAD_SOUNDS = {
    "nothing": (b"", "0 bytes"),
    "text": (TEXT, "it is no sound, or broken"),
    "image": (PNG, "it is no sound, or broken|there is no sound in it"),
    "video without": (MP4, "there is no sound in it, but video"),
    "no samples": (sound(values=numpy.zeros(0)), "it has no samples|it is no sound, or broken"),
    "cut": (WAV[: len(WAV) // 2], "it is cut off: 16,022 of 32,044 bytes are there"),
    "cut flac": (flac()[:-10_000], r"it is cut off: 0\.[0-9]+ of 1\.00 seconds are there"),
    "half a head": (WAV[:30], "it is cut off: 30 of 32,044 bytes are there"),
}


@pytest.mark.parametrize("name", BAD_SOUNDS)
def test_bad_sounds_are_refused(name):
    data, said = BAD_SOUNDS[name]
    with pytest.raises(DataError, match=said):
        audio_facts(data)


@pytest.mark.parametrize(
    ("item", "said"),
    [
        (numpy.zeros(100, numpy.float32), "needs its rate"),
        ({"array": [0.0], "sampling_rate": None}, "needs its sampling_rate, found None"),
        ({"array": [], "sampling_rate": 8_000}, "no samples"),
        ({"array": [float("nan")], "sampling_rate": 8_000}, "no numbers"),
        ({"array": ["a"], "sampling_rate": 8_000}, "must be numbers"),
    ],
)
def test_arrays_that_are_no_sounds_are_refused(item, said):
    with pytest.raises(DataError, match=said):
        stored(item, "audio")
