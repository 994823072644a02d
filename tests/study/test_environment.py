"""What a run writes down of where it ran."""

import json

from headstart.study.environment import environment


def test_no_variable_of_the_environment_is_told(monkeypatch):
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wJalrXUtnFEMI")
    monkeypatch.setenv("HF_TOKEN", "hf_notforyou")
    said = json.dumps(environment(None, None))
    assert "wJalrXUtnFEMI" not in said and "hf_notforyou" not in said and '"torch"' in said
