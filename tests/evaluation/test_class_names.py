"""Names of classes may hold any character, also those that metrics' names are made with."""

import json

from PIL import Image
from typer.testing import CliRunner

from headstart.cli.main import app
from support.miniatures import text, voc_object, voc_xml

NAME = "cat/kitten@0.5"


def test_a_class_with_a_slash_in_its_name_has_its_own_row(tmp_path):
    size = "<size><width>80</width><height>60</height><depth>3</depth></size>"
    objects = [voc_object(NAME, 1, 11, 20, 40), voc_object("dog", 41, 11, 60, 40)]
    voc_xml(tmp_path / "pets" / "Annotations" / "a.xml", *objects, filename="a.jpg", size=size)
    (tmp_path / "pets" / "JPEGImages").mkdir()
    Image.new("RGB", (80, 60)).save(tmp_path / "pets" / "JPEGImages" / "a.jpg")
    text(tmp_path / "pets" / "ImageSets" / "Main" / "test.txt", "a")
    found = {"image_id": "a", "category_id": NAME, "score": 0.9, "bbox": [0, 10, 20, 30]}
    (tmp_path / "r.json").write_text(json.dumps([found]))
    words = ["evaluate", tmp_path / "r.json", tmp_path / "pets", "-p", "voc-area", "--bootstrap", 0]
    done = CliRunner().invoke(app, list(map(str, words)), catch_exceptions=False)
    rows = [" ".join(line.split()) for line in done.stdout.splitlines()]
    assert f"{NAME} 1 100.00 100.00" in rows and "dog 1 0.00 0.00" in rows
