"""Study files: every fault at once, with its line and the nearest key."""

import re

import pytest

from headstart.config.study import Study, builtin_studies_folder
from headstart.errors import StudyError
from headstart.study.files import builtin_studies, find_study, line_of, load_study, write_study

GOOD = """\
name = "small"
seeds = [0, 1, 2]

[sets]
train = { world = "novel", count = 8 }
test = { world = "novel", count = 8, first = 8 }

[[weights]]
name = "one"
uri = "random:shapes-resnet"

[[weights]]
name = "two"
uri = "random:shapes-resnet"

[[tasks]]
name = "segment"
kind = "segment"
train = ["train"]
test = ["test"]
[tasks.recipe]
name = "r"
updates = 4
batch_size = 2
lr = 1e-3
head = "pixel"
"""


def faults(tmp_path, text: str) -> str:
    path = tmp_path / "study.toml"
    path.write_text(text)
    with pytest.raises(StudyError) as caught:
        load_study(str(path))
    return str(caught.value)


def test_a_good_study_is_read_with_its_base(tmp_path):
    (tmp_path / "s.toml").write_text(GOOD)
    study, base = load_study(str(tmp_path / "s.toml"))
    assert (study.name, study.seeds, base) == ("small", (0, 1, 2), tmp_path)


def test_builtin_studies_are_valid_and_named():
    assert "shapes" in builtin_studies()
    for name in builtin_studies():
        study, _ = load_study(name)
        assert study.name == name


def test_all_faults_are_listed_at_once_with_lines(tmp_path):
    text = (
        GOOD.replace("updates = 4", "updatse = 4")
        .replace('kind = "segment"', 'kind = "segmnt"')
        .replace("seeds = [0, 1, 2]", 'seeds = [0, "x"]')
    )
    message = faults(tmp_path, text)
    assert "4 faults" in message
    lines = text.splitlines()
    for what, key in (
        ("seeds.1", "seeds"),
        ("tasks.0.kind", "kind"),
        ('updatse: head "pixel" has no such setting; did you mean `updates`?', "updatse"),
    ):
        found = re.search(rf"study.toml:(\d+): [^\n]*{re.escape(what)}", message)
        assert found, (what, message)
        assert lines[int(found[1]) - 1].startswith(key)
    assert re.search(r"tasks\.0\.recipe\.updates: field required", message)


@pytest.mark.parametrize(
    ("key", "new", "said"),
    [
        ("kind", 'kind = "segmnt"', r"tasks\.0\.kind: there is no such task; did you mean 'segment'\?"),
        ("head", 'head = "fcos"', r"tasks\.0\.recipe\.head: recipe 'r': head 'fcos' cannot segment; use pixel"),
    ],
)
def test_kinds_of_task_and_their_heads_are_checked_with_line_and_nearest_name(tmp_path, key, new, said):
    text = re.sub(rf"{key} = .*", new, GOOD)
    found = re.search(rf"study\.toml:(\d+): {said}", faults(tmp_path, text))
    assert found and text.splitlines()[int(found[1]) - 1] == new


def test_only_masks_are_looked_for_more_than_once(tmp_path):
    several = GOOD.replace("[tasks.recipe]", "inference = { flip = true }\n[tasks.recipe]")
    (tmp_path / "s.toml").write_text(several)
    assert load_study(str(tmp_path / "s.toml"))[0].tasks[0].inference.flip
    message = faults(tmp_path, several.replace('kind = "segment"', 'kind = "detect"').replace("pixel", "fcos"))
    assert "a task of kind 'detect' looks at its images once; `inference` is of segment" in message
    message = faults(tmp_path, several.replace("flip = true", "stride = 3"))
    assert re.search(r"tasks\.0\.inference\.stride: not read: it needs `window`", message)


def test_a_recipe_is_for_tasks_that_train(tmp_path):
    assert "tasks.0: a task of kind 'segment' needs a recipe" in faults(tmp_path, GOOD[: GOOD.index("[tasks.recipe]")])
    probe = GOOD.replace('kind = "segment"', 'kind = "probe"')
    assert "tasks.0.recipe: a task of kind 'probe' takes no recipe" in faults(tmp_path, probe)


def test_names_that_do_not_resolve_are_listed(tmp_path):
    message = faults(tmp_path, GOOD.replace('train = ["train"]', 'train = ["trian"]').replace('"two"', '"one"'))
    assert "tasks.segment: no set named 'trian'" in message
    assert "the name 'one' stands twice" in message


def test_a_search_without_validation_images_is_refused(tmp_path):
    message = faults(tmp_path, GOOD.replace("lr = 1e-3", "rates = [1e-3, 3e-3, 1e-2]"))
    assert "a search over rates needs validation sets (`val`)" in message
    message = faults(tmp_path, GOOD.replace("lr = 1e-3", "rates = [1e-3, 3e-3]"))
    assert "at least three different values" in message


def test_broken_toml_and_unknown_names_say_what_to_do(tmp_path):
    assert "not valid TOML" in faults(tmp_path, "name = [\n")
    with pytest.raises(StudyError, match=r"shaeps: no such study.*Did you mean 'shapes'"):
        find_study("shaeps")


def test_a_written_study_reads_back_equal(tmp_path):
    study, _ = load_study("shapes")
    write_study(study, tmp_path / "again.toml", "a comment\nof two lines")
    again, _ = load_study(str(tmp_path / "again.toml"))
    assert again == study
    assert (tmp_path / "again.toml").read_text().startswith("# a comment\n# of two lines\n")


def test_lines_of_keys_tables_and_missing_keys():
    assert line_of(GOOD, ["weights", 1, "uri"]) == GOOD.splitlines().index('name = "two"') + 2
    assert line_of(GOOD, ["tasks", 0, "recipe", "lr"]) == GOOD.splitlines().index("lr = 1e-3") + 1
    assert line_of(GOOD, ["tasks", 0, "recipe", "gone"]) == GOOD.splitlines().index("[tasks.recipe]") + 1
    assert line_of(GOOD, ["sets", "train", "count"]) == GOOD.splitlines().index("[sets]") + 2


def test_defaults_are_frozen():
    study = Study.model_validate(load_study("shapes")[0].model_dump())
    with pytest.raises(ValueError, match="frozen"):
        study.name = "other"


def test_what_would_make_a_study_untrue_is_refused(tmp_path):
    """Repetitions that are none, training on test images, heads that cannot do the task."""
    for old, new, said in (
        ("seeds = [0, 1, 2]", "seeds = [0, 1, 0]", "a seed stands twice"),
        ("seeds = [0, 1, 2]", "seeds = [0, -1]", "greater than or equal to 0"),
        ("first = 8", "first = 7", "sets.test: overlaps sets.train; both hold image 7 of the novel world"),
        ('head = "pixel"', 'head = "fcos"', "head 'fcos' cannot segment; use pixel"),
        ('head = "pixel"', 'head = "pixel"\nlevels = ["C5", "C4"]', "finest first"),
    ):
        assert said in faults(tmp_path, GOOD.replace(old, new)), said


LEARNED = """\
[sets]
few = { world = "base", count = 4 }
many = { world = "base", count = 8 }
"""
PRETRAINED = """
[pretraining.a]
images = "few"
recipe = "shapes-labels"

[pretraining.b]
images = "many"
recipe = "shapes-labels"
"""


def test_only_pretrainings_may_share_drawn_images(tmp_path):
    """Few and many images of one world are two pre-trainings; one that a task uses, too, is no such set."""
    text = GOOD.replace("[sets]\n", LEARNED) + PRETRAINED
    (tmp_path / "s.toml").write_text(text)
    assert len(load_study(str(tmp_path / "s.toml"))[0].sets) == 4
    said = "sets.many: overlaps sets.few; both hold image 0 of the base world"
    assert said in faults(tmp_path, text.replace('images = "many"', 'images = "few"'))
    assert said in faults(tmp_path, text.replace('train = ["train"]', 'train = ["many"]'))


def test_explanations_need_images_of_their_own(tmp_path):
    text = (builtin_studies_folder() / "shapes.toml").read_text()
    assert "must be other images" in faults(tmp_path, text.replace('statistics = "probe"', 'statistics = "test"'))
    assert "is tested on other images" in faults(tmp_path, text.replace('probe = "probe-base"', 'probe = "probe"'))
