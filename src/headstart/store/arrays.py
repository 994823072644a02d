"""NumPy arrays and tensors as files: written whole or not at all, as `store.files` does."""

from __future__ import annotations

import errno
import math
import os
import re
import shutil
import zipfile
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from headstart.errors import StoreError
from headstart.store.files import replacing, temporary_name, unwritable

FILE = "tensors"

if TYPE_CHECKING:
    from torch import Tensor


def save_arrays(path: Path, arrays: Mapping[str, ArrayLike], compressed: bool = False) -> None:
    """Write an .npz file; equal arrays give equal bytes. Raises StoreError where it cannot be written."""
    save = np.savez_compressed if compressed else np.savez
    with replacing(path) as part, part.open("wb") as file:
        save(file, **arrays)  # type: ignore[arg-type]  # numpy types the keywords as its own option


def save_array(path: Path, array: NDArray[Any], durable: bool = True) -> None:
    """Write an .npy file. Raises StoreError where it cannot be written."""
    with replacing(path, durable) as part, part.open("wb") as file:
        np.save(_Plain(file), array)


class _Plain:
    """A file that NumPy writes to through Python: by itself it would, of a full disk, tell how many items are missing
    and not why."""

    def __init__(self, file: BinaryIO) -> None:
        self.write = file.write


def load_arrays(path: Path) -> dict[str, NDArray[Any]]:
    """All arrays of an .npz file. Raises StoreError, naming the file, when it is missing or damaged."""
    try:
        with np.load(path, allow_pickle=False) as arrays:
            return {name: arrays[name] for name in arrays.files}
    except FileNotFoundError:
        raise StoreError(f"{path}: missing; run the same command again to make it") from None
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, NotImplementedError, AttributeError) as error:
        raise StoreError(f"{path}: unreadable ({error}); delete it and run the same command again") from error


def mapped_array(path: Path, shape: tuple[int, ...], dtype: DTypeLike) -> np.memmap:
    """A new .npy file of zeros, mapped to be filled row by row and flushed. Written in place, so only into the partial
    folder of a job, whose rename seals it.

    Its room on the disk is taken at once: a full disk is told here, and not by SIGBUS while rows are written. Raises
    StoreError where it cannot be written.
    """
    try:
        array = np.lib.format.open_memmap(path, mode="w+", dtype=dtype, shape=shape)
        _take_room(path)
    except OSError as fault:
        with suppress(OSError):
            path.unlink(missing_ok=True)
        raise unwritable(path, fault, math.prod(shape) * np.dtype(dtype).itemsize) from fault
    return array


def _take_room(path: Path) -> None:
    if hasattr(os, "posix_fallocate") and (size := path.stat().st_size):
        with path.open("r+b") as file:
            try:
                os.posix_fallocate(file.fileno(), 0, size)
            except OSError as fault:
                if fault.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):  # others: no such call on this disk
                    raise


def save_tensors(path: Path, tensors: Mapping[str, Tensor], metadata: dict[str, str]) -> None:
    """Write a safetensors file. Raises StoreError where it cannot be written."""
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    contiguous = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    with replacing(path) as part:
        folder = temporary_name(part)  # the library writes to a name of its own beside the file
        folder.mkdir(exist_ok=True)
        try:
            save_file(contiguous, folder / FILE, metadata=metadata)
            (folder / FILE).replace(part)
        except SafetensorError as fault:
            number = re.search(r"os error (\d+)", str(fault))  # as Rust tells what the system says
            raise (OSError(int(number[1]), os.strerror(int(number[1]))) if number else OSError(str(fault))) from fault
        finally:
            shutil.rmtree(folder, ignore_errors=True)
