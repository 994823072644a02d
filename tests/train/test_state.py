"""Saved states: a damaged one, and one of other settings, is named and never gone on from."""

import logging

import numpy as np
import pytest
import torch
from torch import nn

from headstart.errors import StoreError
from headstart.train.state import EARLIER, STATE, History, WeightAverage, load_state, read_state, save_state

KEY = "pretrain-0123456789abcdef"


def parts():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4)).to(torch.bfloat16)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    model(torch.randn(5, 3).to(torch.bfloat16)).float().square().sum().backward()
    optimizer.step()
    return model, optimizer


def saved(folder, step, last=1, key=KEY):
    model, optimizer = parts()
    losses = [torch.full((2,), float(k)) for k in range(step)]
    save_state(
        folder,
        step,
        model,
        optimizer,
        history=History(("a", "b"), losses),
        average=WeightAverage(model, 0.9),
        last=last,
        key=key,
    )


def loaded(folder, key=KEY):
    model, optimizer = parts()
    return load_state(folder, model, optimizer, WeightAverage(model, 0.9), key=key)


def test_a_state_comes_back(tmp_path):
    saved(tmp_path, 3)
    step, history = loaded(tmp_path)
    assert step == 3 and history.names == ("a", "b")
    assert [loss.tolist() for loss in history.losses] == [[0.0, 0.0], [1.0, 1.0], [2.0, 2.0]]


@pytest.mark.parametrize("prepare", [lambda folder: None, lambda folder: folder.rmdir()])
def test_an_empty_folder_and_none_are_no_state(tmp_path, prepare):
    folder = tmp_path / "state"
    folder.mkdir()
    prepare(folder)
    assert loaded(folder) == (0, History((), []))


def test_a_state_of_other_settings_is_named_and_not_served(tmp_path, caplog):
    saved(tmp_path, 3, key="pretrain-fedcba9876543210")
    with caplog.at_level(logging.WARNING):
        assert loaded(tmp_path)[0] == 0
    assert caplog.messages == [f"{tmp_path / STATE}: it is of other settings: the training does not go on from it"]
    saved(tmp_path, 5)  # and it does not stand in the way
    assert loaded(tmp_path)[0] == 5


def test_whatever_bit_has_changed_is_noticed(tmp_path):
    saved(tmp_path, 3)
    whole = (tmp_path / STATE).read_bytes()
    faults = 0
    for k in np.linspace(0, len(whole) - 1, 200).astype(int).tolist():
        (tmp_path / STATE).write_bytes(whole[:k] + bytes([whole[k] ^ 4]) + whole[k + 1 :])
        try:
            read_state(tmp_path / STATE, KEY)
        except StoreError as fault:
            assert str(tmp_path / STATE) in str(fault)
            faults += 1
    assert faults >= 199, "all but, perhaps, white space of the header"
    for k in range(0, len(whole), 97):
        (tmp_path / STATE).write_bytes(whole[:k])
        with pytest.raises(StoreError, match=r"unreadable|changed"):
            read_state(tmp_path / STATE, KEY)


def test_after_a_damaged_state_the_one_before_serves(tmp_path, caplog):
    for step in (2, 4, 6):
        saved(tmp_path, step, last=3)
    assert sorted(p.name for p in tmp_path.glob(EARLIER)) == [
        "state-000000002.safetensors",
        "state-000000004.safetensors",
    ]
    content = bytearray((tmp_path / STATE).read_bytes())
    content[-1] ^= 1
    (tmp_path / STATE).write_bytes(content)
    with caplog.at_level(logging.WARNING):
        assert loaded(tmp_path)[0] == 4
    assert "has changed since it was written: the training does not go on from it" in caplog.text
