"""What the numbers were measured on, without saying whose machine it was."""

import re
from datetime import UTC, datetime
from pathlib import Path

import torch

from benchmarks.setting import Precision

_TELLING_FLAGS = ("avx", "amx", "fma", "f16c", "asimd", "sve", "bf16")
_CPUINFO = Path("/proc/cpuinfo")
_MEMINFO = Path("/proc/meminfo")


def facts(device: torch.device) -> dict[str, str]:
    """Return what a reader must know to judge the numbers, by name."""
    return {
        "device": device_name(device) + _tensor_float(device),
        "CPU": cpu_name(),
        "CPU flags": " ".join(flag for flag in cpu_flags() if flag.startswith(_TELLING_FLAGS)),
        "threads": str(torch.get_num_threads()),
        "torch": str(torch.__version__),
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
    }


def _tensor_float(device: torch.device) -> str:
    """Return what float32 comes to on CUDA, where TF32 may take its place."""
    if device.type != "cuda":
        return ""
    convolutions, products = (
        "TF32" if allowed else "float32"
        for allowed in (torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32)
    )
    return f" (float32 is {convolutions} in convolutions, {products} in products)"


def device_name(device: torch.device) -> str:
    """Return the model of the device."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else cpu_name()


def cpu_name() -> str:
    """Return the model of the processor."""
    return _cpuinfo("model name") or "unknown"


def cpu_flags() -> tuple[str, ...]:
    """Return what the processor can do, in the kernel's words."""
    return tuple(sorted((_cpuinfo("flags") or _cpuinfo("Features")).split()))


def computes_bfloat16(device: torch.device) -> bool:
    """Return whether the device multiplies bfloat16 in hardware; emulated, it is slower."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return {"avx512_bf16", "amx_bf16"}.intersection(cpu_flags()) != set()


def precisions(device: torch.device) -> tuple[Precision, ...]:
    """Return the number formats that are worth measuring on the device."""
    return ("float32", "bfloat16") if computes_bfloat16(device) else ("float32",)


def free_bytes(device: torch.device) -> int:
    """Return how much memory a measurement may take."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    kibibytes = re.search(r"^MemAvailable:\s+(\d+)", _read(_MEMINFO), re.MULTILINE)
    return int(kibibytes[1]) * 1024 if kibibytes else 8 * 2**30


def _cpuinfo(key: str) -> str:
    found = re.search(rf"^{key}\s*:\s*(.*)$", _read(_CPUINFO), re.MULTILINE)
    return found[1] if found else ""


def _read(path: Path) -> str:
    return path.read_text(encoding="utf-8") if path.exists() else ""
