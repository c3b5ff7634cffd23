"""Processors of models that see videos, where torchvision is not installed."""

import io
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
functional = pytest.importorskip("tunesmith_library_media.transforms")

SIZES = [(28, 28), (45, 17), (90, 130)]


def picture(seed: int, height: int = 60, width: int = 44) -> Any:
    """Soft blobs: resizing noise would test rounding alone. Returns: (height, width, 3) uint8."""
    coarse = np.random.default_rng(seed).integers(0, 256, (height // 8 + 1, width // 8 + 1, 3), dtype=np.uint8)
    return coarse.repeat(8, axis=0).repeat(8, axis=1)[:height, :width]


@pytest.fixture(scope="module")
def seeing(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The processor of a tiny Qwen2-VL."""
    from transformers import AutoProcessor
    from tunesmith_library_media.processors import provide
    from tunesmith_library_testing.seeing import save_seeing_model

    folder = save_seeing_model(tmp_path_factory.mktemp("seeing") / "qwen2_vl", "qwen2_vl")
    assert provide(folder) == ("Qwen2VLVideoProcessor",) or "torchvision" in sys.modules
    return AutoProcessor.from_pretrained(folder)


@pytest.mark.parametrize("mode", ["BILINEAR", "BICUBIC"])
@pytest.mark.parametrize("size", SIZES)
def test_frames_are_resized_as_pil_resizes_pictures(mode: str, size: tuple[int, int]) -> None:
    from PIL import Image

    frames = np.stack([picture(0), picture(1)])
    made = functional.resize(
        torch.from_numpy(frames).permute(0, 3, 1, 2), size, interpolation=functional.InterpolationMode[mode]
    )
    expected = [Image.fromarray(each).resize(size[::-1], Image.Resampling[mode]) for each in frames]
    difference = made.permute(0, 2, 3, 1).numpy().astype(int) - np.stack([np.asarray(each) for each in expected])
    assert made.dtype == torch.uint8 and np.abs(difference).max() <= 1


def test_the_other_functions_are_arithmetic() -> None:
    image = torch.arange(24.0).reshape(2, 3, 4)
    padded = functional.pad(image, [1, 2, 3, 0], fill=[7, 8])
    expected = np.pad(image.numpy(), ((0, 0), (2, 0), (1, 3)), constant_values=np.nan)
    assert np.array_equal(np.nan_to_num(expected, nan=7.0)[0], padded[0].numpy())
    assert np.array_equal(np.nan_to_num(expected, nan=8.0)[1], padded[1].numpy())
    assert torch.equal(functional.crop(padded, 2, 1, 3, 4), image)
    normal = functional.normalize(image, [1.0, 2.0], [4.0, 5.0], inplace=False)
    assert np.allclose(normal, (image.numpy() - np.array([[[1]], [[2]]])) / np.array([[[4]], [[5]]]))
    grey = image[:1]
    assert torch.equal(functional.grayscale_to_rgb(grey), torch.cat([grey] * 3))
    assert torch.equal(
        functional.grayscale_to_rgb(padded[:, None].expand(2, 3, 5, 8)), padded[:, None].expand(2, 3, 5, 8)
    )
    assert functional.to_dtype(torch.tensor([0, 255], dtype=torch.uint8), torch.float32, scale=True).tolist() == [0, 1]
    assert functional.to_dtype(torch.tensor([0.0, 0.5, 1.0]), torch.uint8, scale=True).tolist() == [0, 127, 255]


def test_a_clip_of_one_picture_is_what_the_picture_is(seeing: Any) -> None:
    """A picture is a clip of two equal frames to this family, and its processor of pictures is PIL's."""
    still = picture(2, 56, 56)
    clip = seeing.video_processor(videos=[np.stack([still] * 2)], return_tensors="pt", do_sample_frames=False)
    pictures = seeing.image_processor(images=[still], return_tensors="pt")
    assert clip["video_grid_thw"].tolist() == pictures["image_grid_thw"].tolist() == [[1, 4, 4]]
    assert torch.allclose(clip["pixel_values_videos"], pictures["pixel_values"], atol=1e-5)


def test_the_whole_processor_writes_as_many_marks_as_the_model_reads(seeing: Any) -> None:
    made = seeing(text=["<|video_pad|>"], videos=[np.stack([picture(3)] * 4)], return_tensors="pt")
    assert (made["input_ids"] == seeing.video_token_id).sum() == made["video_grid_thw"].prod() // 4


def test_its_own_names_are_written(seeing: Any, tmp_path: Path) -> None:
    seeing.save_pretrained(tmp_path)
    assert '"Qwen2VLVideoProcessor"' in (tmp_path / "processor_config.json").read_text(encoding="utf-8")


def test_numbers_are_written_as_num2words_writes_them() -> None:
    from tunesmith_library_media.numerals import in_words

    written = {  # by num2words 0.5
        **{0: "zero", 1: "one", 13: "thirteen", 20: "twenty", 21: "twenty-one", 64: "sixty-four"},
        **{100: "one hundred", 101: "one hundred and one", 345: "three hundred and forty-five", 1000: "one thousand"},
        **{1001: "one thousand and one", 1100: "one thousand, one hundred", 12000: "twelve thousand"},
        **{1234: "one thousand, two hundred and thirty-four", 100000: "one hundred thousand"},
    }
    assert {number: in_words(number) for number in written} == written


def test_the_processor_that_writes_them_needs_no_package(tmp_path: Path) -> None:
    from transformers import AutoProcessor
    from tunesmith_library_media.processors import provide
    from tunesmith_library_testing.seeing import save_seeing_model

    folder = save_seeing_model(tmp_path / "smolvlm", "smolvlm")
    provide(folder)
    processor = pickle.loads(pickle.dumps(AutoProcessor.from_pretrained(folder)))
    metadata = [{"total_num_frames": 2, "fps": 1.0, "frames_indices": [0, 1], "duration": 2.0}]
    clip = np.stack([picture(5)] * 2)
    made = processor(
        text=["<video>"], videos=[[clip]], video_metadata=metadata, do_sample_frames=False, return_tensors="pt"
    )
    assert "following series of two frames" in processor.tokenizer.decode(made["input_ids"][0])


@pytest.mark.slow
def test_a_process_that_is_started_anew_reads_it(seeing: Any, tmp_path: Path) -> None:
    """Workers that load data are given the processor pickled where processes are not forked."""
    clip = np.stack([picture(4)] * 2)
    expected = seeing.video_processor(videos=[clip], return_tensors="pt", do_sample_frames=False)
    (tmp_path / "given").write_bytes(pickle.dumps((seeing.video_processor, clip)))
    code = (
        "import pickle, sys\nfrom pathlib import Path\nprocessor, clip = pickle.loads(Path(sys.argv[1]).read_bytes())\n"
        "made = processor(videos=[clip], return_tensors='pt', do_sample_frames=False)\n"
        "Path(sys.argv[2]).write_bytes(pickle.dumps(made['pixel_values_videos'].numpy()))"
    )
    subprocess.run([sys.executable, "-c", code, tmp_path / "given", tmp_path / "made"], check=True)
    made = pickle.load(io.BytesIO((tmp_path / "made").read_bytes()))
    assert np.array_equal(made, expected["pixel_values_videos"].numpy())
