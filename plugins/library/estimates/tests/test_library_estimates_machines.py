"""Machines: those that are named, and the one at hand."""

import os

import pytest
from tunesmith import TunesmithError
from tunesmith_library_estimates import at_hand
from tunesmith_library_estimates.devices import device_named, devices, plain
from tunesmith_library_estimates.machines import machine_at_hand, machine_named
from tunesmith_library_estimates.room import of_accelerator, of_host


@pytest.mark.parametrize(
    ("name", "device", "count", "memory"),
    [
        ("rtx4090", "RTX 4090", 1, 23.99),
        ("NVIDIA GeForce RTX 4090", "RTX 4090", 1, 23.99),
        ("h100x8", "8 × H100", 8, 79.65),
        ("8xH100", "8 × H100", 8, 79.65),
        ("a100-40gb", "A100 40 GB", 1, 40),
        ("NVIDIA A100-SXM4-80GB", "A100 80 GB", 1, 80),
        ("NVIDIA RTX 6000 Ada Generation", "RTX 6000 Ada", 1, 47.99),
        ("mi300x", "MI300X", 1, 191.98),
        ("mi300xx8", "8 × MI300X", 8, 191.98),
        ("m3max-64gb", "M3 Max 64 GB", 1, 48),
        ("24gb", "24 GB", 1, 24),
        ("80gbx8", "8 × 80 GB", 8, 80),
    ],
)
def test_machines_by_name(name, device, count, memory):
    found = machine_named(name)
    assert (found.name, found.count) == (device, count)
    assert found.room.total / 2**30 == pytest.approx(memory, abs=0.01)


@pytest.mark.parametrize("name", ["rtx4091", "h100x0", "0gb", "RTX 4090 Laptop GPU"])
def test_unknown_machines_are_answered_with_known_ones(name):
    with pytest.raises(TunesmithError, match=f"{name}: no known device.\nknown: .*did you mean|24gb"):
        machine_named(name)


def test_devices_have_one_name_each_and_sizes_that_can_be():
    names = [name for device in devices() for name in (plain(device.name), *device.also)]
    assert len(names) == len(set(names)) and all(name == plain(name) for name in names)
    for device in devices():
        assert 2**32 <= device.memory < 2**40 and 1e10 < device.bandwidth < 1e13, device.name
        assert device.flops["fp32"] <= device.flops.get("fp16", device.flops["fp32"]), device.name
        assert device_named(device.name) == device


def test_gpus_are_asked_of_the_driver(monkeypatch, tmp_path):
    """The smallest counts; one that is hidden does not; a driver that fails leaves the processor."""
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    program = tmp_path / "nvidia-smi"
    program.write_text("#!/bin/sh\necho NVIDIA H100 80GB HBM3, 81559\necho NVIDIA GeForce RTX 4090, 24564\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    found = machine_at_hand()
    assert (found.device, found.count, found.room) == ("cuda", 2, of_accelerator(24564 * 2**20))
    assert found.model == "RTX 4090" and found.flops["bf16"] > 1e14 and found.host == of_host()
    assert machine_at_hand(use_cpu=True).room == of_host()
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    assert machine_at_hand().count == 1
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert machine_at_hand().device == "cpu"


def test_a_driver_that_fails_leaves_the_processor(monkeypatch, tmp_path):
    program = tmp_path / "nvidia-smi"
    program.write_text("#!/bin/sh\necho No devices were found\nexit 6\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    found = machine_at_hand()
    assert (found.device, found.room, found.host) == ("cpu", of_host(), None)
    assert found.model.endswith(", 3 threads")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    assert found.flops["fp32"] == 3 * machine_at_hand().flops["fp32"]


def test_an_amd_card_is_told_by_the_kernels_files(monkeypatch, tmp_path):
    card = tmp_path / "card0" / "device"
    card.mkdir(parents=True)
    for file, text in (
        ("vendor", "0x1002"),
        ("mem_info_vram_total", str(64 * 2**30)),
        ("product_name", "Instinct MI210"),
    ):
        (card / file).write_text(f"{text}\n")
    monkeypatch.setattr(at_hand, "_CARDS", tmp_path)
    monkeypatch.setattr(at_hand, "_KFD", tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert at_hand.accelerators() == (("Instinct MI210", 64 * 2.0**30),)
    assert machine_at_hand().model == "MI210"
