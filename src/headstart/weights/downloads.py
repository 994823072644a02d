"""Files of public weights in the libraries' own caches: fetched on first use, never in silence, never when offline."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from headstart.errors import WeightsError
from headstart.places.network import is_offline
from headstart.weights import catalogue
from headstart.weights.cards import WeightsSpec

Say = Callable[[str], None]


def torchvision_file(spec: WeightsSpec, offline: bool, say: Say) -> Path:
    """torchvision's file of these weights in torch's cache (TORCH_HOME), with the digest in its name checked."""
    path = _in_torch_cache(spec, spec.url, offline, say, hash_prefix=spec.digest)
    _require_digest(path, spec.uri, "sha256", spec.digest, called="SHA-256")
    return path


def url_file(spec: WeightsSpec, offline: bool, say: Say) -> Path:
    """The file of a catalogue entry in torch's cache, checked against the digest that its makers published, if any."""
    entry = catalogue.find(spec.uri)
    path = _in_torch_cache(spec, spec.url, offline, say)
    for kind in ("sha256", "md5"):
        if digest := getattr(entry, kind, ""):
            _require_digest(path, spec.name, kind, digest, called=kind)
    return path


def timm_file(spec: WeightsSpec, offline: bool, say: Say) -> Path:
    """timm's file of these weights in the Hugging Face cache (HF_HOME), or in torch's for those that are not there."""
    import timm

    facts: Any = timm.get_pretrained_cfg(spec.uri.removeprefix("timm:"))
    if facts is not None and facts.hf_hub_id:
        return _hub_file(spec, facts, offline, say)
    if facts is None or not facts.url:
        raise WeightsError(
            f"{spec.uri}: this version of timm has no trained weights of that name. Use timm:NAME.TAG "
            "as listed by timm.list_pretrained()."
        )
    return _in_torch_cache(spec, facts.url, offline, say)


def _hub_file(spec: WeightsSpec, facts: Any, offline: bool, say: Say) -> Path:
    from huggingface_hub import constants, hf_hub_download, try_to_load_from_cache
    from huggingface_hub.errors import EntryNotFoundError

    names = [facts.hf_hub_filename] if facts.hf_hub_filename else ["model.safetensors", "pytorch_model.bin"]
    cache = Path(constants.HF_HUB_CACHE)
    for name in names:
        cached = try_to_load_from_cache(facts.hf_hub_id, name, cache_dir=cache)
        if isinstance(cached, str):
            return Path(cached)
    _announce(spec, f"{facts.hf_hub_id} on the Hugging Face hub", cache, offline, say=say)
    last: Exception | None = None
    for name in names:
        try:
            return Path(hf_hub_download(facts.hf_hub_id, name, cache_dir=cache))
        except EntryNotFoundError as error:
            last = error
        except Exception as error:
            last = error
            break
    assert last is not None
    advice = f"copy a Hugging Face cache that holds {facts.hf_hub_id} to {cache}"
    raise _failed(spec, facts.hf_hub_id, advice, last) from last


def _in_torch_cache(spec: WeightsSpec, url: str, offline: bool, say: Say, *, hash_prefix: str | None = None) -> Path:
    """The file of this address in torch's cache, fetched where it is not there."""
    import torch

    path = Path(torch.hub.get_dir()) / "checkpoints" / url.rpartition("/")[2]
    if not path.exists():
        _announce(spec, url, path, offline, say=say)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            torch.hub.download_url_to_file(url, str(path), hash_prefix=hash_prefix, progress=False)
        except Exception as error:
            raise _failed(spec, url, f"put the file at {path}", error) from error
    return path


def _require_digest(path: Path, weights: str, kind: str, begin: str, *, called: str) -> None:
    """Raise WeightsError unless the file's digest begins so. kind: of `hashlib`; called: its name in the message."""
    with path.open("rb") as stream:
        digest = hashlib.file_digest(stream, kind).hexdigest()
    if not digest.startswith(begin):
        raise WeightsError(
            f"{path} is not the file that {weights} names: its {called} begins with {digest[: len(begin)]}, not "
            f"{begin}. Delete it, so that it is fetched again."
        )


def _announce(spec: WeightsSpec, source: str, target: Path, offline: bool, *, say: Say) -> None:
    if is_offline(offline):
        raise WeightsError(
            f"{spec.uri} is not in the cache ({target}) and downloads are off (--offline, "
            "HEADSTART_OFFLINE or HF_HUB_OFFLINE). Run once without, or copy the cache from a machine "
            "that has it."
        )
    say(f"downloading {spec.uri} from {source} to {target}")


def _failed(spec: WeightsSpec, source: str, advice: str, error: Exception) -> WeightsError:
    return WeightsError(
        f"{spec.uri} could not be downloaded from {source}: {type(error).__name__}: {error}. "
        f"Check the connection and run again, or {advice}."
    )
