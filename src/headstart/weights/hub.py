"""`hf:org/name@revision#file`: a checkpoint on the Hugging Face hub, in huggingface-hub's own cache (HF_HOME)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from headstart.errors import WeightsError
from headstart.places.network import is_offline
from headstart.store.files import write_text
from headstart.terminal import tell
from headstart.weights import containers

USUAL = ("model.safetensors", "backbone.safetensors", "model.safetensors.index.json", "pytorch_model.bin")
"""Names of the checkpoint that are tried, in this order, where the URI gives none; the index is of a file in parts."""
BESIDE = ("config.json", "preprocessor_config.json", "README.md")
"""What is fetched with it, where it is there: facts of the architecture and of its input, and the model card."""
_SUFFIXES = (".safetensors", ".bin", ".pth", ".pt", ".pkl", ".params", ".tar")


@dataclass(frozen=True)
class HubFile:
    """A file in the cache, and exactly where it came from."""

    path: Path
    repository: str
    commit: str
    """The 40 digits that the revision stood for."""
    file: str
    licence: str
    """Of the model card; "not stated" where there is none."""

    @property
    def uri(self) -> str:
        return f"hf:{self.repository}@{self.commit}#{self.file}"


def fetch(uri: str, offline: bool = False, say: object = tell) -> HubFile:
    """The file that the URI means: from the cache, or fetched, which is said before. Raises WeightsError.

    A revision is a branch, a tag or a commit; without one it is `main`. What is in the cache is used without asking
    the hub whether a branch has moved.
    """
    found = re.fullmatch(r"hf:([\w.-]+/[\w.-]+)(?:@([\w./-]+))?(?:#(.+))?", uri)
    if not found:
        raise WeightsError(
            f"weights {uri!r} do not name a repository. Give hf:ORG/NAME, hf:ORG/NAME@REVISION or "
            "hf:ORG/NAME@REVISION#FILE."
        )
    repository, revision, file = found[1], found[2] or "main", found[3]
    path = _cached(repository, revision, file)
    if path is None:
        path = _download(uri, repository, revision, file, offline=offline, say=say)
    commit, name = _place(path)
    return HubFile(path, repository, commit, name, licence=licence_of(path, name))


def _cached(repository: str, revision: str, file: str | None) -> Path | None:
    from huggingface_hub import constants, try_to_load_from_cache

    for name in (file,) if file else USUAL:
        cached = try_to_load_from_cache(repository, name, cache_dir=constants.HF_HUB_CACHE, revision=revision)
        if isinstance(cached, str) and all(path.is_file() for path in containers.parts(Path(cached))):
            return Path(cached)
    return None


def _download(uri: str, repository: str, revision: str, file: str | None, *, offline: bool, say: object) -> Path:
    from huggingface_hub import HfApi, constants, hf_hub_download
    from huggingface_hub.errors import EntryNotFoundError, HfHubHTTPError, RepositoryNotFoundError

    cache = Path(constants.HF_HUB_CACHE)
    if is_offline(offline):
        raise WeightsError(
            f"{uri} is not in the cache ({cache}) and downloads are off (--offline, HEADSTART_OFFLINE "
            "or HF_HUB_OFFLINE). Run once without, or copy the cache from a machine that has it."
        )
    try:
        facts = HfApi().model_info(repository, revision=revision)
        names = [entry.rfilename for entry in facts.siblings or []]
        chosen = _choose(uri, names, file)
        assert callable(say)
        say(f"downloading {uri} ({chosen} at {facts.sha}) from the Hugging Face hub to {cache}")
        for name in BESIDE:
            if name in names:
                hf_hub_download(repository, name, revision=facts.sha, cache_dir=cache)
        path = Path(hf_hub_download(repository, chosen, revision=facts.sha, cache_dir=cache))
        for part in containers.parts(path):
            beside = f"{chosen.rpartition('/')[0]}/{part.name}".lstrip("/")
            hf_hub_download(repository, beside, revision=facts.sha, cache_dir=cache)
        _remember(cache, repository, revision, str(facts.sha))
        return path
    except (RepositoryNotFoundError, EntryNotFoundError) as error:
        raise WeightsError(
            f"{uri}: the hub has no such repository, revision or file, or you may not see it "
            f"({_line(error)}). Correct the URI, or log in: hf auth login."
        ) from error
    except (HfHubHTTPError, OSError, ValueError) as error:
        raise WeightsError(
            f"{uri} could not be fetched: {type(error).__name__}: {_line(error)}. Check the connection "
            f"and run again, or copy a Hugging Face cache to {cache}."
        ) from error


def _line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [""])[0][:200]


def _choose(uri: str, names: list[str], file: str | None) -> str:
    if file:
        if file not in names:
            raise WeightsError(f"{uri}: the repository has no file {file!r}; it has: {', '.join(sorted(names)[:12])}.")
        return file
    for name in USUAL:
        if name in names:
            return name
    likely = sorted(name for name in names if name.endswith(_SUFFIXES))
    if len(likely) != 1:
        has = f"several: {', '.join(likely[:12])}" if likely else f"none: {', '.join(sorted(names)[:12]) or 'no files'}"
        raise WeightsError(
            f"{uri} does not say which checkpoint is meant, and the repository has {has}. "
            "Give hf:ORG/NAME@REVISION#FILE."
        )
    return likely[0]


def _remember(cache: Path, repository: str, revision: str, commit: str) -> None:
    """Note what the branch or tag stood for, as huggingface-hub itself does, so that it is found offline."""
    if revision != commit:
        ref = cache / f"models--{repository.replace('/', '--')}" / "refs" / revision
        ref.parent.mkdir(parents=True, exist_ok=True)
        write_text(ref, commit)


def _place(path: Path) -> tuple[str, str]:
    """(commit, name in the repository) of a file in the cache: .../snapshots/COMMIT/NAME."""
    at = path.parts.index("snapshots")
    return path.parts[at + 1], "/".join(path.parts[at + 2 :])


def licence_of(path: Path, name: str) -> str:
    """Of the model card beside the file `name` of a repository, at `path`; "not stated" where there is none."""
    card = path.parents[name.count("/")] / "README.md"
    if not card.is_file():
        return "not stated"
    matter = card.read_text(encoding="utf-8", errors="replace").partition("---")[2].partition("\n---")[0]
    found = re.search(r"^license:\s*([\w.-]+)\s*$", matter, re.MULTILINE)
    return found[1] if found else "not stated"
