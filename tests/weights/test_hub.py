"""`hf:` weights: from huggingface-hub's own cache, and from a server that speaks as the hub does."""

from __future__ import annotations

import hashlib
import http.server
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import huggingface_hub.constants
import pytest
import timm
import torch
from safetensors.torch import save_file
from torch import nn

from headstart.errors import WeightsError
from headstart.weights import commands, hub
from headstart.weights.cards import resolve
from headstart.weights.checkpoint import load

COMMIT = "0123456789abcdef0123456789abcdef01234567"
README = "---\nlicense: mit\ntags: [a]\n---\n# Model\n"


def model() -> nn.Module:
    torch.manual_seed(0)
    return timm.create_model("resnet18")


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """huggingface-hub's cache with one repository whose `main` and `v1` are the same commit."""
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    repository = tmp_path / "models--org--net"
    snapshot = repository / "snapshots" / COMMIT
    snapshot.mkdir(parents=True)
    (repository / "refs").mkdir()
    for name in ("main", "v1"):
        (repository / "refs" / name).write_text(COMMIT)
    save_file(model().state_dict(), snapshot / "model.safetensors")
    (snapshot / "README.md").write_text(README)
    return snapshot


@pytest.mark.parametrize(
    "uri",
    [
        "hf:org/net",
        "hf:org/net@v1",
        f"hf:org/net@{COMMIT}",
        "hf:org/net#model.safetensors",
        "hf:org/net@v1#model.safetensors",
    ],
)
def test_the_cache_is_used_offline_and_the_commit_is_recorded(cache: Path, uri: str) -> None:
    spec = resolve(uri)
    assert spec.uri == f"hf:org/net@{COMMIT}#model.safetensors"
    assert (spec.name, spec.backbone, spec.licence) == ("net", "resnet18", "mit")
    loaded = load(spec, 0, offline=True)
    assert loaded.report.coverage == 1.0
    assert torch.equal(loaded.backbone.state_dict()["conv1.weight"], model().state_dict()["conv1.weight"])
    assert resolve(spec.uri).identity() == spec.identity()


def test_own_checkpoints_on_the_hub_need_no_recognizing(cache: Path, tmp_path: Path) -> None:
    commands.import_weights("hf:org/net", tmp_path / "own", offline=True)
    (cache / "backbone.safetensors").write_bytes((tmp_path / "own" / "backbone.safetensors").read_bytes())
    spec = resolve("hf:org/net#backbone.safetensors")
    assert (spec.layout, spec.key_prefix, spec.licence, spec.backbone) == ("", "", "mit", "resnet18")
    assert load(spec, 0).report.coverage == 1.0


def in_parts(folder: Path, state: dict[str, torch.Tensor]) -> dict[str, bytes]:
    """The files of a checkpoint in two parts, as the hub has them, by name."""
    names = sorted(state)
    files = {f"model-0000{k + 1}-of-00002.safetensors": names[k::2] for k in range(2)}
    for file, own in files.items():
        save_file({name: state[name] for name in own}, folder / file)
    weight_map = {name: file for file, own in files.items() for name in own}
    (folder / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": weight_map}))
    return {name: (folder / name).read_bytes() for name in (*files, "model.safetensors.index.json")}


def test_a_checkpoint_in_parts_is_chosen_by_its_index(cache: Path) -> None:
    (cache / "model.safetensors").unlink()
    state = model().state_dict()
    in_parts(cache, state)
    spec = resolve("hf:org/net")
    assert (spec.uri, spec.backbone) == (f"hf:org/net@{COMMIT}#model.safetensors.index.json", "resnet18")
    loaded = load(spec, 0, offline=True)
    assert loaded.report.coverage == 1.0
    assert torch.equal(loaded.backbone.state_dict()["layer4.1.bn2.weight"], state["layer4.1.bn2.weight"])
    in_parts(cache, state | {"layer4.1.bn2.weight": state["layer4.1.bn2.weight"] + 1})
    assert resolve("hf:org/net").digest != spec.digest, "the index is the same for other values"
    (cache / "model-00002-of-00002.safetensors").unlink()
    with pytest.raises(WeightsError, match=r"is not in the cache .* and downloads are off"):
        resolve("hf:org/net")


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"weight_map": {"a": 1}}', '{"weight_map": []}'])
def test_an_index_that_is_none_is_refused(cache: Path, text: str) -> None:
    (cache / "model.safetensors").unlink()
    (cache / "model.safetensors.index.json").write_text(text)
    with pytest.raises(WeightsError, match=r"index\.json.*weight_map"):
        resolve("hf:org/net")


@pytest.mark.parametrize("how", ["argument", "HEADSTART_OFFLINE", "HF_HUB_OFFLINE"])
def test_offline_is_honored(cache: Path, monkeypatch: pytest.MonkeyPatch, how: str) -> None:
    monkeypatch.delenv("HF_HUB_OFFLINE")
    if how != "argument":
        monkeypatch.setenv(how, "1")
    for uri in ("hf:org/net@v2", "hf:org/other", "hf:org/net#gone.safetensors", "detr-resnet50-coco"):
        with pytest.raises(WeightsError, match=r"is not in the cache \(.*\) and downloads are off") as caught:
            resolve(uri, offline=how == "argument")
        assert "copy the cache from a machine that has it" in str(caught.value)


@pytest.mark.parametrize("uri", ["hf:net", "hf:org/net/more", "hf:", "hf:org/net@", "hf:org/net@a b"])
def test_uris_that_name_no_repository(uri: str) -> None:
    with pytest.raises(WeightsError, match=r"do not name a repository\. Give hf:ORG/NAME, hf:ORG/NAME@REVISION or"):
        resolve(uri)


def test_a_repository_with_several_checkpoints_needs_a_choice() -> None:
    names = ["README.md", "a.pth", "b.safetensors"]
    with pytest.raises(
        WeightsError, match=r"the repository has several: a\.pth, b\.safetensors\. Give hf:ORG/NAME@REV"
    ):
        hub._choose("hf:o/n", names, None)
    with pytest.raises(WeightsError, match=r"has none: README\.md\. "):
        hub._choose("hf:o/n", names[:1], None)
    with pytest.raises(WeightsError, match=r"has no file 'c\.pth'; it has: README\.md, a\.pth, b\.safetensors"):
        hub._choose("hf:o/n", names, "c.pth")
    assert hub._choose("hf:o/n", names[:2], None) == "a.pth"
    assert hub._choose("hf:o/n", [*names, "pytorch_model.bin"], None) == "pytorch_model.bin"


class Hub(http.server.BaseHTTPRequestHandler):
    """As much of the hub as a download of one repository asks for."""

    files: dict[str, bytes]
    asked: list[str]

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        self.asked.append(f"{self.command} {path}")
        if path.startswith("/api/models/org/net"):
            facts = {"id": "org/net", "sha": COMMIT, "siblings": [{"rfilename": name} for name in self.files]}
            return self._answer(200, json.dumps(facts).encode(), {"Content-Type": "application/json"})
        name = path.removeprefix(f"/org/net/resolve/{COMMIT}/")
        if name not in self.files:
            return self._answer(404, b"", {"X-Error-Code": "RepoNotFound"})
        content = self.files[name]
        etag = hashlib.sha256(content).hexdigest()
        return self._answer(200, content, {"ETag": f'"{etag}"', "X-Repo-Commit": COMMIT})

    def _answer(self, status: int, content: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for key, value in {**headers, "Content-Length": str(len(content))}.items():
            self.send_header(key, value)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        """Nothing on standard error."""


@pytest.fixture
def server(tmp_path: Path) -> Iterator[str]:
    save_file(model().state_dict(), tmp_path / "model.safetensors")
    Hub.files = {"README.md": README.encode(), "model.safetensors": (tmp_path / "model.safetensors").read_bytes()}
    Hub.asked = []
    running = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    thread = threading.Thread(target=running.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{running.server_port}"
    running.shutdown()
    running.server_close()
    thread.join()


@pytest.mark.slow
def test_all_parts_are_downloaded(tmp_path: Path, server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "parts").mkdir()
    Hub.files = in_parts(tmp_path / "parts", model().state_dict())
    environment = {key: value for key, value in os.environ.items() if "OFFLINE" not in key}
    environment |= {"HF_ENDPOINT": server, "HF_HOME": str(tmp_path / "hf"), "NO_PROXY": "127.0.0.1"}
    command = [sys.executable, "-m", "headstart", "weights", "verify", "hf:org/net"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert "100.0% of the backbone" in done.stdout, done.stdout + done.stderr
    again = subprocess.run([*command, "--offline"], env=environment, capture_output=True, text=True)
    assert again.stdout == done.stdout


def test_a_download_is_said_before_and_found_offline_afterwards(tmp_path: Path, server: str) -> None:
    env = {key: value for key, value in os.environ.items() if "OFFLINE" not in key}
    env |= {"HF_ENDPOINT": server, "HF_HOME": str(tmp_path / "hf"), "NO_PROXY": "127.0.0.1"}
    code = (
        "import sys\nfrom headstart.errors import WeightsError\nfrom headstart.weights.cards import resolve\n"
        "try: spec = resolve(sys.argv[1])\nexcept WeightsError as fault: sys.exit(f'refused: {fault}')\n"
        "print(spec.uri, spec.backbone, spec.licence)"
    )

    def run(uri: str, **more: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([sys.executable, "-c", code, uri], env=env | more, capture_output=True, text=True)

    first = run("hf:org/net@main")
    assert first.stdout == f"hf:org/net@{COMMIT}#model.safetensors resnet18 mit\n", first.stderr
    said = first.stderr.splitlines()[0]
    assert said.startswith(f"downloading hf:org/net@main (model.safetensors at {COMMIT}) from the Hugging Face hub to ")
    assert any(line.startswith("GET") and line.endswith("model.safetensors") for line in Hub.asked)
    Hub.asked.clear()
    again = run("hf:org/net@main", HF_HUB_OFFLINE="1")
    assert (again.stdout, again.stderr, Hub.asked) == (first.stdout, "", [])
    gone = run("hf:org/elsewhere")
    assert gone.returncode == 1 and "refused: hf:org/elsewhere: the hub has no such repository" in gone.stderr
